//! The way from kube's client to the model: paths, bodies, latencies and failures.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{future::BoxFuture, stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    ACCESSES, Cluster, EVENTS, INTEGRATIONS, KINDS, Key, Kind, LEASES, NAMESPACES, RESOURCES, Refused, rights, watch,
};
use crate::{
    mutation::Mutation,
    rules, script,
    world::{Instance, State, World},
};

type Answer = Response<StreamBody<watch::Lines>>;

/// The API server, as one run of the operator reaches it.
#[derive(Clone)]
pub struct Server {
    world: Arc<World>,
    instance: Arc<Instance>,
}

/// A request, read.
struct Asked {
    method: Method,
    kind: Kind,
    namespace: String,
    name: String,
    is_status: bool,
    query: String,
    body: Value,
    /// When it was sent; it may be long under way.
    sent: Duration,
}

/// A client of a model server.
pub fn client(world: &Arc<World>, instance: &Arc<Instance>) -> kube::Client {
    let server = Server { world: Arc::clone(world), instance: Arc::clone(instance) };
    let service = tower::service_fn(move |request: Request<Body>| server.clone().answer(request));
    kube::Client::new(service, "operator")
}

/// Whether the operator's rights cover a request; that they do not is a defect, whatever comes of it.
fn is_allowed(state: &mut State, asked: &Asked, now: Duration) -> bool {
    let verb = rights::verb(asked.method.as_str(), asked.query.contains("watch="), !asked.name.is_empty());
    let resource = rights::resource(asked.kind, asked.is_status);
    let taken = state.mutation == Some(Mutation::MissingRight) && (verb, asked.kind) == ("patch", INTEGRATIONS);
    let allowed = !taken && rights::allow(verb, &resource, if verb == "create" { "" } else { &asked.name });
    if !allowed {
        rules::not_allowed(state, now, verb, &resource);
    }
    allowed
}

impl Server {
    fn answer(self, request: Request<Body>) -> BoxFuture<'static, io::Result<Answer>> {
        Box::pin(async move {
            if self.instance.is_dead() {
                std::future::pending::<()>().await;
            }
            let asked = read(request, self.world.now()).await?;
            if asked.query.contains("watch=") {
                return Ok(self.watch(&asked));
            }
            let (there, back, fails_before, fails_after, late) = {
                let mut state = self.world.state();
                let share = state.weather.cluster_faults;
                let (there, back) = (state.between(1, 30), state.between(1, 30));
                let (before, after) = (state.chance(share / 2.0), state.chance(share / 2.0));
                let late = asked.method == Method::PATCH && state.chance(share / 4.0);
                (there, back, before, after, late.then(|| state.between(500, 20_000)))
            };
            sleep(there).await;
            let down = self.world.state().weather.cluster_down || self.instance.is_cut_off();
            if down || fails_before || self.instance.is_dead() {
                self.note(&asked, if down { "down" } else { "failed" });
                return if down {
                    Err(io::ErrorKind::ConnectionRefused.into())
                } else {
                    Ok(failure(503, "ServiceUnavailable"))
                };
            }
            if let Some(late) = late {
                // Whoever asked gives it up, and it takes effect after what is asked next.
                tokio::spawn(async move {
                    sleep(late).await;
                    drop(self.carry_out(&asked));
                });
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            let result = self.carry_out(&asked);
            sleep(back).await;
            if self.instance.is_dead() {
                std::future::pending::<()>().await;
            }
            if fails_after {
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Ok(match result {
                Ok(object) => whole(if asked.method == Method::POST { 201 } else { 200 }, &object),
                Err(Refused::NotFound) => failure(404, "NotFound"),
                Err(Refused::Conflict) => failure(409, "Conflict"),
                Err(Refused::AlreadyExists) => failure(409, "AlreadyExists"),
                Err(Refused::Forbidden) => failure(403, "Forbidden"),
            })
        })
    }

    fn carry_out(&self, asked: &Asked) -> Result<Value, Refused> {
        let result = self.apply(asked);
        self.world.changed.notify_waiters();
        self.note(asked, &result.as_ref().map_or_else(|refused| format!("{refused:?}"), |_| "ok".to_owned()));
        result
    }

    fn note(&self, asked: &Asked, word: &str) {
        let Asked { method, kind, namespace, name, body, .. } = asked;
        let status = if asked.is_status { "/status" } else { "" };
        let word = format!("{} {method} {kind} {namespace}/{name}{status} {body} {word}", self.instance.name);
        self.world.log(word);
    }

    fn watch(&self, asked: &Asked) -> Answer {
        let number = |key: &str| {
            let pair = asked.query.split('&').find_map(|pair| pair.strip_prefix(key));
            pair.and_then(|value| value.parse::<u64>().ok())
        };
        let after = number("resourceVersion=").unwrap_or_default();
        let time = Duration::from_secs(number("timeoutSeconds=").unwrap_or(290));
        self.note(asked, "watched");
        if !is_allowed(&mut self.world.state(), asked, self.world.now()) {
            return failure(403, "Forbidden");
        }
        let lines = watch::lines(&self.world, &self.instance, asked.kind, after, time);
        Response::new(StreamBody::new(lines))
    }

    fn apply(&self, asked: &Asked) -> Result<Value, Refused> {
        // The API server keeps whole seconds.
        let (now, moment) = (self.world.now(), format!("{:.0}", self.world.wall()));
        let mut state = self.world.state();
        let key: Key = (asked.kind, asked.namespace.clone(), asked.name.clone());
        if asked.method != Method::GET {
            state.record.count(now, "cluster", asked.kind);
        }
        if asked.kind != RESOURCES && !is_allowed(&mut state, asked, now) {
            return Err(Refused::Forbidden);
        }
        match (asked.method.as_str(), asked.kind) {
            ("GET", RESOURCES) => Ok(resources()),
            ("GET", INTEGRATIONS) if self.reads_old_versions(&state) => Ok(old_versions(&state)),
            ("GET", kind) if asked.name.is_empty() => Ok(list(&state.cluster, kind)),
            ("GET", _) => state.cluster.get(&key).cloned().ok_or(Refused::NotFound),
            ("POST", LEASES) => {
                let stored = state.cluster.create(key, asked.body.clone(), &moment)?;
                rules::lease_written(&mut state, &stored, now);
                Ok(stored)
            }
            // Events are counted, and not kept.
            (_, EVENTS) => Ok(asked.body.clone()),
            ("PUT", LEASES) => self.put_lease(&mut state, &key, &asked.body),
            ("PATCH", _) if asked.is_status => patch_status(&mut state, &key, asked, now, &moment),
            ("PATCH", _) => self.patch_finalizers(&mut state, &key, &asked.body, &moment),
            _ => Err(Refused::NotFound),
        }
    }

    fn reads_old_versions(&self, state: &State) -> bool {
        state.mutation == Some(Mutation::OldVersions) && self.instance.name.starts_with("replica-1")
    }

    fn put_lease(&self, state: &mut State, key: &Key, body: &Value) -> Result<Value, Refused> {
        let stored = state.cluster.get(key).ok_or(Refused::NotFound)?;
        let same = stored["metadata"]["resourceVersion"] == body["metadata"]["resourceVersion"];
        if !same {
            if state.mutation == Some(Mutation::SharedLease) {
                return Ok(body.clone());
            }
            return Err(Refused::Conflict);
        }
        let stored = state.cluster.change(key, |object| object["spec"] = body["spec"].clone())?;
        rules::lease_written(state, &stored, self.world.now());
        Ok(stored)
    }

    fn patch_finalizers(&self, state: &mut State, key: &Key, body: &Value, moment: &str) -> Result<Value, Refused> {
        let stored = state.cluster.get(key).ok_or(Refused::NotFound)?;
        let same =
            |field: &str| body["metadata"][field].is_null() || stored["metadata"][field] == body["metadata"][field];
        if !same("resourceVersion") || !same("uid") {
            return Err(Refused::Conflict);
        }
        let before = stored.clone();
        let stored = state.cluster.change(key, |object| {
            object["metadata"]["finalizers"] = body["metadata"]["finalizers"].clone();
        })?;
        gone(state, key, &before, self.world.now(), moment);
        Ok(stored)
    }
}

/// Notes it if an integration is gone by a change. Somebody may then make it again at once, as tools do that keep
/// a cluster as a repository says.
fn gone(state: &mut State, key: &Key, before: &Value, now: Duration, moment: &str) {
    if state.cluster.get(key).is_none() && key.0 == INTEGRATIONS {
        rules::object_gone(state, before, now);
        if state.chance(0.5) {
            script::create(state, &key.2, now, moment);
        }
    }
}

fn patch_status(state: &mut State, key: &Key, asked: &Asked, now: Duration, moment: &str) -> Result<Value, Refused> {
    let body = &asked.body;
    let stored = state.cluster.get(key).ok_or(Refused::NotFound)?;
    // As in a custom resource's status, no other metadata counts.
    let version = &body["metadata"]["resourceVersion"];
    let old = !version.is_null() && stored["metadata"]["resourceVersion"] != *version;
    if old && state.mutation != Some(Mutation::LateStatus) {
        return Err(Refused::Conflict);
    }
    let before = stored.clone();
    let mut status = body["status"].clone();
    match state.mutation {
        Some(Mutation::LostStatus) if key.0 == INTEGRATIONS => {
            let mut told = before.clone();
            told["status"] = status;
            return Ok(told);
        }
        Some(Mutation::EarlyRelease) if !before["metadata"]["deletionTimestamp"].is_null() => {
            let stored = state.cluster.change(key, |object| object["metadata"]["finalizers"] = json!([]))?;
            gone(state, key, &before, now, moment);
            return Ok(stored);
        }
        Some(Mutation::BrokenStatus) => {
            for condition in status["conditions"].as_array_mut().into_iter().flatten() {
                if condition["type"] == "Ready" {
                    condition["status"] = json!("True");
                }
            }
        }
        _ => {}
    }
    if status == before["status"] {
        return Ok(before);
    }
    let stored = state.cluster.change(key, |object| {
        object["status"] = status;
        object["metadata"]["managedFields"] = json!([{"time": moment}]);
    })?;
    rules::status_written(state, &before, &stored, now.saturating_sub(asked.sent));
    if state.mutation == Some(Mutation::HotLoop) && key.0 == INTEGRATIONS {
        let version = stored["metadata"]["resourceVersion"].clone();
        return state.cluster.change(key, |object| {
            object["metadata"]["annotations"]["integrations.port.io/requestedAt"] = version;
        });
    }
    Ok(stored)
}

async fn read(request: Request<Body>, sent: Duration) -> io::Result<Asked> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let path: Vec<&str> = parts.uri.path().trim_matches('/').split('/').collect();
    // The namespaces themselves are a kind, too.
    let at = path.iter().rposition(|part| KINDS.contains(part)).unwrap_or_default();
    let kind = KINDS.into_iter().find(|kind| path.get(at) == Some(kind)).unwrap_or(RESOURCES);
    let namespaced = at >= 2 && path.get(at - 2) == Some(&"namespaces");
    let namespace = if namespaced { path.get(at - 1).copied().unwrap_or_default() } else { "" };
    let name = path
        .get(at + 1)
        .copied()
        .or_else(|| body["metadata"]["name"].as_str().filter(|_| parts.method == Method::POST));
    Ok(Asked {
        method: parts.method,
        kind,
        namespace: namespace.to_owned(),
        name: name.unwrap_or_default().to_owned(),
        is_status: path.get(at + 2) == Some(&"status"),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body,
        sent,
    })
}

fn list(cluster: &Cluster, kind: Kind) -> Value {
    let items: Vec<&Value> = cluster.list(kind).map(|(_, object)| object).collect();
    let (group, word) = match kind {
        INTEGRATIONS => ("integrations.port.io/v1alpha1", "PortAwsIntegrationList"),
        ACCESSES => ("integrations.port.io/v1alpha1", "PortAwsAccessList"),
        NAMESPACES => ("meta.k8s.io/v1", "PartialObjectMetadataList"),
        _ => ("v1", "List"),
    };
    json!({"apiVersion": group, "kind": word, "metadata": {"resourceVersion": cluster.version().to_string()}, "items": items})
}

/// The integrations with the specs that they had at first.
fn old_versions(state: &State) -> Value {
    let mut listed = list(&state.cluster, INTEGRATIONS);
    for item in listed["items"].as_array_mut().into_iter().flatten() {
        let owner = format!("team.{}", item["metadata"]["name"].as_str().unwrap_or_default());
        let mut versions = state.record.versions().get(&owner).into_iter().flatten();
        if let Some(first) = versions.find_map(|(_, object)| object.as_ref()) {
            item["spec"] = first["spec"].clone();
        }
    }
    listed
}

/// The kinds of the operator's group, as discovery names them.
fn resources() -> Value {
    let kinds = [(INTEGRATIONS, "PortAwsIntegration", true), (ACCESSES, "PortAwsAccess", false)];
    let resources: Vec<Value> = kinds
        .into_iter()
        .map(|(name, kind, namespaced)| {
            json!({"name": name, "singularName": "", "namespaced": namespaced, "kind": kind, "verbs": ["get", "list", "watch"]})
        })
        .collect();
    json!({"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "integrations.port.io/v1alpha1", "resources": resources})
}

fn whole(code: u16, value: &Value) -> Answer {
    let bytes = Bytes::from(value.to_string());
    let lines: watch::Lines = Box::pin(stream::once(std::future::ready(Ok(Frame::data(bytes)))));
    let mut answer = Response::new(StreamBody::new(lines));
    *answer.status_mut() = code.try_into().unwrap_or_default();
    answer
}

fn failure(code: u16, reason: &str) -> Answer {
    whole(
        code,
        &json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code, "message": reason}),
    )
}
