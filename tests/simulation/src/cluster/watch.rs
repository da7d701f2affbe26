//! A watch, as the API server answers it: a line for each change, until it is cut.

use std::{io, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{Stream, stream};
use http_body::Frame;
use serde_json::json;
use tokio::time::{Instant, sleep, timeout_at};

use super::Kind;
use crate::{
    mutation::Mutation,
    world::{Instance, World},
};

pub type Lines = Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>;

struct Watch {
    world: Arc<World>,
    instance: Arc<Instance>,
    kind: Kind,
    after: u64,
    until: Instant,
    over: bool,
}

enum Next {
    Line(String, u64),
    Gone,
    Nothing,
    Cut,
}

/// The changes of a kind after a version, for at most `time`.
pub fn lines(world: &Arc<World>, instance: &Arc<Instance>, kind: Kind, after: u64, time: Duration) -> Lines {
    let (world, instance) = (Arc::clone(world), Arc::clone(instance));
    let watch = Watch { world, instance, kind, after, until: Instant::now() + time, over: false };
    Box::pin(stream::unfold(watch, Watch::step))
}

impl Watch {
    async fn step(mut self) -> Option<(io::Result<Frame<Bytes>>, Self)> {
        loop {
            if self.over {
                return None;
            }
            let world = Arc::clone(&self.world);
            let changed = world.changed.notified();
            match self.next() {
                Next::Line(line, version) => {
                    let wait = {
                        let mut state = self.world.state();
                        let lag = state.weather.watch_lag;
                        state.between(1, 40 + lag)
                    };
                    sleep(wait).await;
                    self.after = version;
                    return Some((Ok(Frame::data(Bytes::from(line))), self));
                }
                Next::Gone => {
                    let status = json!({"kind": "Status", "status": "Failure", "reason": "Expired", "code": 410, "message": "too old resource version"});
                    let line = json!({"type": "ERROR", "object": status}).to_string() + "\n";
                    self.over = true;
                    return Some((Ok(Frame::data(Bytes::from(line))), self));
                }
                Next::Cut => {
                    self.over = true;
                    return Some((Err(io::Error::from(io::ErrorKind::ConnectionReset)), self));
                }
                Next::Nothing => {
                    if timeout_at(self.until, changed).await.is_err() {
                        return None;
                    }
                }
            }
        }
    }

    fn next(&self) -> Next {
        let state = self.world.state();
        if state.weather.cluster_down || self.instance.is_cut_off() || self.instance.is_dead() {
            return Next::Cut;
        }
        if state.mutation == Some(Mutation::Deafness) && self.kind == super::INTEGRATIONS {
            return Next::Nothing;
        }
        match state.cluster.next_change(self.kind, self.after) {
            Ok(Some(change)) => {
                let line = json!({"type": change.word, "object": change.object}).to_string() + "\n";
                Next::Line(line, change.version)
            }
            Ok(None) => Next::Nothing,
            Err(_) => Next::Gone,
        }
    }
}
