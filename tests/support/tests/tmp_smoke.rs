use serde_json::json;
use std::time::{SystemTime, Instant};
use testkit::fixture::{Scenario, condition, World};
type R = Result<(), Box<dyn std::error::Error>>;
#[tokio::test]
async fn smoke() -> R {
    let t = Instant::now();
    World::get().await?; println!("world {:?}", t.elapsed());
    if std::env::var("TRACE").is_ok() {
        let r = Scenario::start("trace", &std::env::var("OPBIN")?).await;
        let w = World::get().await?;
        for e in w.plane().audit_events()? { if e["user"]["username"] == w.operator_user().as_str() { println!("{} {} {} {}", e["stage"], e["verb"], e["requestURI"], e["responseStatus"]); } }
        println!("{:?}", r.err().map(|e| e.to_string())); return Ok(());
    }
    let mut s = Scenario::start("smoke", &std::env::var("OPBIN")?).await?; println!("scenario {:?}", t.elapsed());
    let seq = s.seq().await?; let since = SystemTime::now();
    s.integration("prod", |_| {}).await?;
    let o = s.ready("prod").await?; println!("ready {:?} {}", t.elapsed(), o["status"]);
    let calls = s.operator_calls_since(seq).await?;
    println!("{:?}", testkit::aws::actions(&calls));
    println!("{:?}", s.state().await?);
    let o = s.request_check("prod").await?; println!("checked {:?} {}", t.elapsed(), condition(&o, "Ready"));
    println!("{:#?}", s.events("prod").await?);
    println!("{:?}", s.k8s_writes_since(since)?.iter().map(|w| (w.verb.clone(), w.resource.clone(), w.subresource.clone(), w.code)).collect::<Vec<_>>());
    s.restart_operator().await?; println!("restarted {:?}", t.elapsed());
    s.kill_operator().await?; s.start_operator().await?;
    s.patch_spec("prod", json!({"role": {"maxSessionDuration": 3600, "description": "x"}})).await?;
    s.ready("prod").await?;
    s.state_until("d", |st| st.role("PortIntegrationRole-prod").is_some_and(|r| r.description == "x")).await?;
    s.delete("prod").await?; s.gone("prod").await?; println!("gone {:?}", t.elapsed());
    s.finish().await?; println!("fin {:?}", t.elapsed());
    let s = Scenario::start("tail", &std::env::var("OPBIN")?).await?;
    if std::env::var("FAILIT").is_ok() { Err("x")?; }
    s.finish().await?;
    Ok(())
}
