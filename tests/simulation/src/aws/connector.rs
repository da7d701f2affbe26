//! The way from the SDK to the model: latencies, failures before and after a call takes effect, and what is
//! asked of every write.

use std::{sync::Arc, time::Duration};

use aws_smithy_runtime_api::client::{
    http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
    orchestrator::{HttpRequest, HttpResponse},
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;
use tokio::{sync::oneshot, time::sleep};

use super::{Refusal, iam, xml};
use crate::{
    mutation::Mutation,
    rules::{self, Write},
    world::{Instance, Params, World},
};

/// The SDK's HTTP client of one run of the operator.
#[derive(Clone)]
pub struct Connector {
    world: Arc<World>,
    instance: Arc<Instance>,
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector")
    }
}

/// What becomes of a call on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Fine,
    /// AWS refuses it.
    Refused(u16, &'static str),
    /// The connection breaks before it takes effect.
    CutBefore,
    /// The connection breaks after that.
    CutAfter,
}

struct Call {
    service: &'static str,
    action: String,
    key: String,
    params: Params,
    body: Value,
}

type Outcome = Result<(u16, String), ()>;

impl Connector {
    pub fn new(world: &Arc<World>, instance: &Arc<Instance>) -> Self {
        Self { world: Arc::clone(world), instance: Arc::clone(instance) }
    }

    async fn carry(self, call: Call) -> Result<HttpResponse, ConnectorError> {
        let (there, back, fate) = self.fate(&call);
        let (sender, receiver) = oneshot::channel();
        let (world, instance) = (Arc::clone(&self.world), Arc::clone(&self.instance));
        let started = world.now();
        if call.service == "iam" && !iam::is_read(&call.action) {
            rules::at_start(&mut world.state(), &instance.name, started, &call.action);
        }
        // A call under way goes on when its caller is gone.
        tokio::spawn(async move {
            sleep(there).await;
            let outcome = arrive(&world, &instance, &call, started, fate);
            // Nobody may be there to hear it.
            let _ = sender.send(outcome);
        });
        let outcome = receiver.await.unwrap_or(Err(()));
        sleep(back).await;
        if self.instance.is_dead() {
            std::future::pending::<()>().await;
        }
        match outcome {
            Ok((status, text)) => {
                let status = status.try_into().map_err(|error| ConnectorError::other(Box::new(error), None))?;
                Ok(HttpResponse::new(status, SdkBody::from(text)))
            }
            Err(()) => Err(ConnectorError::io("the connection broke".into())),
        }
    }

    /// How long a call takes there and back, and how it goes.
    fn fate(&self, call: &Call) -> (Duration, Duration, Fate) {
        let mut state = self.world.state();
        let weather = state.weather.clone();
        let slow = state.chance(weather.aws_slow);
        // It arrives while its caller still waits for it.
        let there = if slow { state.between(1_000, 9_000) } else { state.between(2, 60) };
        let back = state.between(2, 60);
        let account = state.aws.account_of(&call.key, self.world.now()).unwrap_or_default();
        if call.service == "iam" && weather.throttled.contains(&account) {
            return (there, back, Fate::Refused(400, "Throttling"));
        }
        let denied = |arn: &String| arn.split(':').nth(4).is_some_and(|account| weather.denied.contains(account));
        if call.action == "AssumeRole" && call.params.get("RoleArn").is_some_and(denied) {
            return (there, back, Fate::Refused(403, "AccessDenied"));
        }
        let faults = [
            Fate::Refused(400, "Throttling"),
            Fate::Refused(500, "InternalFailure"),
            Fate::Refused(503, "ServiceUnavailable"),
            Fate::Refused(409, "ConcurrentModification"),
            Fate::CutBefore,
            Fate::CutAfter,
        ];
        let fails = state.chance(weather.aws_faults);
        let fate = if fails { state.pick(&faults).copied() } else { None };
        (there, back, fate.unwrap_or(Fate::Fine))
    }
}

/// A call takes effect, or not.
fn arrive(world: &World, instance: &Instance, call: &Call, started: Duration, fate: Fate) -> Outcome {
    let (now, wall) = (world.now(), world.wall().as_second());
    let mut state = world.state();
    let result = match fate {
        Fate::Refused(status, code) => Err(Refusal::new(status, code)),
        Fate::CutBefore => Err(Refusal::new(0, "CutBefore")),
        Fate::Fine | Fate::CutAfter => {
            let caller = state.aws.account_of(&call.key, now);
            caller.and_then(|caller| match call.service {
                "iam" if iam::is_read(&call.action) => {
                    let most = u64::try_from(state.weather.lag.as_millis()).unwrap_or_default();
                    let lag = if state.random.u8(..4) == 0 { state.between(0, most) } else { Duration::ZERO };
                    let seen = state.aws.seen(&caller, now, lag);
                    iam::read(&caller, &seen, &call.params, &mut state.random)
                }
                "iam" => {
                    let params = mutated(state.mutation, &call.params);
                    let before = state.aws.account(&caller);
                    let result = state.aws.write(&caller, &params, now, wall);
                    let write = Write { instance: &instance.name, started, account: &caller, params: &params };
                    rules::at_effect(&mut state, &write, &before, now);
                    result
                }
                "sts" => state.aws.sts(&caller, &call.params, now, wall),
                _ => {
                    let answer = state.aws.organization.answer(&caller, &call.action, &call.body);
                    answer.map(|answer| answer.to_string())
                }
            })
        }
    };
    state.record.count(now, call.service, &call.action);
    let said = result.as_ref().map_or_else(|refusal| refusal.code.as_str(), |_| "ok").to_owned();
    drop(state);
    let params: Vec<String> = call
        .params
        .iter()
        .filter(|(key, _)| *key != "Action" && *key != "Version")
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    world.log(format_args!("{} {} {} {} {fate:?} {said}", instance.name, call.service, call.action, params.join("&")));
    if fate == Fate::CutAfter || fate == Fate::CutBefore {
        return Err(());
    }
    let is_json = call.service == "organizations";
    Ok(match result {
        Ok(result) if is_json => (200, result),
        Ok(result) => (200, xml::answer(&call.action, &result)),
        Err(refusal) if is_json => (refusal.status, serde_json::json!({"__type": refusal.code}).to_string()),
        Err(refusal) => (refusal.status, xml::refusal(&refusal)),
    })
}

/// The parameters, with a defect built in.
fn mutated(mutation: Option<Mutation>, params: &Params) -> Params {
    let mut params = params.clone();
    let action = params.get("Action").cloned().unwrap_or_default();
    match mutation {
        Some(Mutation::ForeignRole) if action == "DetachRolePolicy" || action == "AttachRolePolicy" => {
            params.insert("RoleName".to_owned(), rules::FOREIGN_ROLE.to_owned());
        }
        Some(Mutation::Recreation) if action == "UpdateAssumeRolePolicy" => {
            params.insert("Action".to_owned(), "DeleteRole".to_owned());
            params.insert("Force".to_owned(), String::new());
        }
        Some(Mutation::WideTrust) if action == "UpdateAssumeRolePolicy" => {
            let wide = params.get("PolicyDocument").map(|text| text.replace("StringEquals", "StringLike"));
            params.insert("PolicyDocument".to_owned(), wide.unwrap_or_default());
        }
        Some(Mutation::WidePolicy) if action == "AttachRolePolicy" => {
            params.insert("PolicyArn".to_owned(), "arn:aws:iam::aws:policy/AdministratorAccess".to_owned());
        }
        _ => {}
    }
    params
}

impl HttpConnector for Connector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let host = request.uri().to_owned();
        let service =
            ["iam", "sts"].into_iter().find(|name| host.contains(&format!("//{name}."))).unwrap_or("organizations");
        let header = |name: &str| request.headers().get(name).unwrap_or_default().to_owned();
        let signed = header("authorization");
        let key = signed.split("Credential=").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let body = request.body().bytes().map(String::from_utf8_lossy).unwrap_or_default().into_owned();
        let params = if service == "organizations" { Params::new() } else { xml::parse_form(&body) };
        let target = header("x-amz-target");
        let action = params.get("Action").cloned().or_else(|| target.split('.').nth(1).map(str::to_owned));
        let call = Call {
            service,
            action: action.unwrap_or_default(),
            key: key.to_owned(),
            params,
            body: serde_json::from_str(&body).unwrap_or_default(),
        };
        if self.instance.is_dead() {
            return HttpConnectorFuture::new(std::future::pending());
        }
        HttpConnectorFuture::new(self.clone().carry(call))
    }
}

impl HttpClient for Connector {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}
