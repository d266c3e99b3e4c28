use crate::{Server, problem};
use isobar_model::history::HistoryPage;
use isobar_model::{Digest, LoadBatch, Metric, RevisionStatus, ShardId};
use reqwest::Method;
use serde_json::{Value, json};
use std::sync::Arc;

#[tokio::test]
async fn keyspaces_are_created_listed_and_set() {
    let server = Server::start().await;
    let body = json!({"name": "u", "partitioning": "range", "split_points": ["g", "n%20"], "replication_factor": 1, "mode": "auto"});
    let created = server.json(Method::POST, "/v1/keyspaces", body).await;
    assert_eq!((created.status().as_u16(), &created.headers()["location"]), (201, &"/v1/keyspaces/u".parse().unwrap()));
    let expected =
        json!({"id": 2, "name": "u", "partitioning": "range", "replication_factor": 1, "mode": "auto", "shards": 3});
    assert_eq!(created.json::<Value>().await.unwrap(), expected);
    assert_eq!(server.read("/v1/keyspaces/u").await, expected);
    let hashed = server.json(Method::POST, "/v1/keyspaces", json!({"name": "h", "partitioning": "hash"})).await;
    assert_eq!(hashed.json::<Value>().await.unwrap()["shards"], 8);
    assert_eq!(server.read("/v1/keyspaces").await.as_array().unwrap().len(), 3);
    let set = server.json(Method::PUT, "/v1/keyspaces/u/mode", json!({"mode": "observe"})).await;
    assert_eq!(set.json::<Value>().await.unwrap()["mode"], "observe");
    problem(server.json(Method::POST, "/v1/keyspaces", json!({"name": "u", "partitioning": "hash"})).await, 409).await;
}

#[tokio::test]
async fn the_gain_ledger_is_shown_heeded_or_not_and_begun_anew() {
    let server = Server::start().await;
    let told = server.read("/v1/keyspaces/t/gains").await;
    let summary = "Prediction removed 31 % (at least 12 %) of the overload that reacting would have left, in 9.0 days.";
    assert_eq!((&told["standing"], &told["summary"]), (&json!("pays"), &json!(summary)));
    assert_eq!((&told["abstain"], &told["gain"]["against"]), (&json!(true), &json!("reactive")));
    assert_eq!(server.read("/v1/gains").await, json!([told]));
    let set = server.json(Method::PUT, "/v1/keyspaces/t/gains", json!({"abstain": false})).await;
    assert_eq!(set.json::<Value>().await.unwrap(), json!({"abstain": false}));
    assert_eq!(server.read("/v1/keyspaces/t/gains").await["abstain"], json!(false));
    let mistyped = server.json(Method::PUT, "/v1/keyspaces/t/gains", json!({"abstains": false})).await;
    assert!(mistyped.status().is_client_error());
    problem(server.get("/v1/keyspaces/nowhere/gains").await, 404).await;
    assert_eq!(server.request(Method::DELETE, "/v1/keyspaces/t/gains").send().await.unwrap().status(), 204);
    let gone = problem(server.get("/v1/keyspaces/t/gains").await, 404).await;
    assert!(gone.detail.contains("with the first step that closes"), "{gone:?}");
}

#[tokio::test]
async fn placement_rules_are_told_and_shown() {
    let server = Server::start().await;
    let anywhere = json!({"require": [], "forbid": [], "apart": [], "together": []});
    assert_eq!(server.read("/v1/keyspaces/t/rules").await, anywhere);
    let body = json!({"name": "b", "partitioning": "hash", "rules": {"together": ["t"]}});
    assert_eq!(server.json(Method::POST, "/v1/keyspaces", body).await.status(), 201);
    let rules = json!({"require": ["region=us", "region=eu"], "apart": ["b"]});
    let set = server.json(Method::PUT, "/v1/keyspaces/t/rules", rules).await;
    let expected = json!({"require": ["region=eu", "region=us"], "forbid": [], "apart": ["b"], "together": []});
    assert_eq!(set.json::<Value>().await.unwrap(), expected);
    assert_eq!(server.read("/v1/keyspaces/t/rules").await, expected);
    let set = server.json(Method::PUT, "/v1/keyspaces/t/rules", json!({})).await;
    assert_eq!(set.json::<Value>().await.unwrap(), anywhere);
    assert_eq!(server.read("/v1/nodes").await[0]["labels"], json!(["disk=ssd"]));
    assert_eq!(server.read("/v1/nodes").await[0]["resources"], json!({ "cpu-millicores": 8000.0 }));
}

#[tokio::test]
async fn shards_and_nodes_are_explained_in_words_and_figures() {
    let server = Server::start().await;
    let told = server.read("/v1/shards/1/explain").await;
    let summary = told["summary"].as_str().unwrap();
    assert!(
        summary.starts_with("Shard 1 is led by node 1, which is at 25 % of its capacity and expected to peak at 75 %."),
        "{summary}"
    );
    assert!(summary.contains("which would then peak at 50 %"), "{summary}");
    assert_eq!(
        (&told["considered"][0]["verdict"], &told["considered"][0]["target_peak"]),
        (&json!("accepted"), &json!(0.5))
    );
    let told = server.read("/v1/nodes/1/explain").await;
    let summary = told["summary"].as_str().unwrap();
    assert!(summary.contains("the heaviest, shard 2, makes 50 % of that"), "{summary}");
    for path in ["/v1/shards/9/explain", "/v1/nodes/9/explain"] {
        problem(server.get(path).await, 404).await;
    }
}

#[tokio::test]
async fn what_if_is_asked_by_names_and_nothing_is_done() {
    let server = Server::start().await;
    let body = json!({"nodes_down": [1], "load": {"t": 1.5}, "placer": null});
    let found = server.json(Method::POST, "/v1/what-if", body).await.json::<Value>().await.unwrap();
    assert_eq!((&found["policy"], &found["nodes"][0]["state"]), (&json!("builtin"), &json!("down")));
    assert_eq!((&found["nodes"][0]["unmoved"], &found["moves"][0]["verdict"]), (&json!(1.5), &json!("accepted")));
    let found = server.json(Method::POST, "/v1/what-if", json!({})).await.json::<Value>().await.unwrap();
    assert_eq!(found["policy"], "bound");
    assert_eq!(server.read("/v1/nodes").await[0]["state"], "up");
}

#[tokio::test]
async fn nodes_are_listed_and_drained() {
    let server = Server::start().await;
    let nodes = server.read("/v1/nodes").await;
    assert_eq!(nodes[0]["leaders"], 1);
    assert_eq!(nodes[0]["replicas"], 2);
    assert_eq!(nodes[2]["load"], Value::Null);
    let drained = server.request(Method::POST, "/v1/nodes/3/drain").send().await.unwrap();
    assert_eq!(drained.json::<Value>().await.unwrap()["state"], "draining");
    assert_eq!(server.read("/v1/status").await["nodes"], json!({"up": 2, "draining": 1, "suspect": 0, "down": 0}));
    let back = server.request(Method::DELETE, "/v1/nodes/3/drain").send().await.unwrap();
    assert_eq!(back.json::<Value>().await.unwrap()["state"], "up");
    problem(server.request(Method::POST, "/v1/nodes/9/drain").send().await.unwrap(), 404).await;
    problem(server.get("/v1/nodes/9").await, 404).await;
}

#[tokio::test]
async fn shards_are_listed_by_page_and_filter() {
    let server = Server::start().await;
    let page = server.read("/v1/shards?limit=1").await;
    assert_eq!(page["next"], 1);
    assert_eq!(page["shards"][0]["leader_load"], 31.5);
    assert_eq!(page["shards"][0]["follower_load"], Value::Null);
    let rest = server.read("/v1/shards?limit=1&after=1").await;
    assert_eq!(
        (&rest["shards"][0]["id"], &rest["shards"][0]["start"], rest.get("next")),
        (&json!(2), &json!("m"), None)
    );
    assert_eq!(server.read("/v1/shards?keyspace=t&node=1").await["shards"].as_array().unwrap().len(), 2);
    assert_eq!(server.read("/v1/shards?node=9").await["shards"], json!([]));
    problem(server.get("/v1/shards?keyspace=nope").await, 404).await;
    let shard = server.read("/v1/shards/1").await;
    assert_eq!(shard["keyspace"], "t");
    assert_eq!(shard["group"]["voters"], json!([1, 2, 3]));
}

#[tokio::test]
async fn replicas_are_compared_by_digest() {
    let server = Server::start().await;
    let verify = |shard: u64| server.request(Method::POST, &format!("/v1/shards/{shard}/verify")).send();
    let equal: Value = verify(1).await.unwrap().json().await.unwrap();
    assert_eq!((&equal["equal"], &equal["missing"]), (&json!(true), &json!([])));
    assert_eq!(equal["digests"][0]["digest"], "00000000000000000000000000000abc");
    let unequal: Value = verify(2).await.unwrap().json().await.unwrap();
    assert_eq!((&unequal["equal"], unequal["digests"].as_array().unwrap().len()), (&json!(false), 3));
    problem(verify(9).await.unwrap(), 404).await;
}

#[tokio::test]
async fn a_move_begins_a_migration_that_can_be_watched_and_cancelled() {
    let server = Server::start().await;
    let begun = server.json(Method::POST, "/v1/shards/1/move", json!({"from": 1, "to": 2})).await;
    assert_eq!((begun.status().as_u16(), &begun.headers()["location"]), (202, &"/v1/migrations/1".parse().unwrap()));
    let migration = server.read("/v1/migrations/1").await;
    assert_eq!(
        (&migration["stage"], &migration["keyspace"], &migration["eta_ms"]),
        (&json!("copy"), &json!("t"), &json!(2000))
    );
    let transfer = server.json(Method::POST, "/v1/shards/2/transfer-leader", json!({"to": 3})).await;
    assert_eq!(transfer.json::<Value>().await.unwrap()["kind"], "leader");
    let newest_first = server.read("/v1/migrations?active=true").await;
    assert_eq!((&newest_first[0]["id"], &newest_first[1]["id"]), (&json!(2), &json!(1)));
    assert_eq!(server.read("/v1/migrations?shard=1").await.as_array().unwrap().len(), 1);
    let cancelled = server.request(Method::POST, "/v1/migrations/1/cancel").send().await.unwrap();
    assert_eq!(cancelled.json::<Value>().await.unwrap()["stage"], "aborting");
    server.backend.finish_migrations();
    assert_eq!(server.read("/v1/migrations?active=true").await, json!([]));
    problem(server.request(Method::POST, "/v1/migrations/2/cancel").send().await.unwrap(), 409).await;
    problem(server.request(Method::POST, "/v1/migrations/9/cancel").send().await.unwrap(), 404).await;
    problem(server.get("/v1/migrations/9").await, 404).await;
}

#[tokio::test]
async fn a_policy_is_uploaded_and_polled_until_it_is_judged() {
    let server = Server::start().await;
    let artifact = b"\0asm\x0d\0\x01\0 a component".to_vec();
    let digest = Digest::of(&artifact);
    let upload = || server.request(Method::POST, "/v1/policies").body(artifact.clone()).send();
    let uploaded = upload().await.unwrap();
    assert_eq!(uploaded.status(), 202);
    let href = uploaded.headers()["location"].to_str().unwrap().to_owned();
    let info: Value = uploaded.json().await.unwrap();
    assert_eq!((&info["digest"], &info["status"], &info["href"]), (&json!(digest), &json!("uploaded"), &json!(href)));
    server.backend.judge(digest, RevisionStatus::Ready);
    let ready = server.read(&href).await;
    assert_eq!(
        (&ready["status"], &ready["role"], &ready["name"]),
        (&json!("ready"), &json!("forecast"), &json!("seasonal-naive"))
    );
    assert_eq!(
        (&ready["config_schema"], &ready["imports"][0]),
        (&json!({"type": "object"}), &json!("isobar:policy/log@0.1.0"))
    );
    // The same bytes again are the same revision.
    assert_eq!(upload().await.unwrap().json::<Value>().await.unwrap()["status"], "ready");
    server.backend.judge(digest, RevisionStatus::Rejected { reason: "it imports wasi:http: remove that.".into() });
    assert_eq!(server.read(&href).await["reason"], "it imports wasi:http: remove that.");
    assert_eq!(server.read("/v1/policies").await.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn a_binding_is_a_compare_and_swap() {
    let server = Server::start().await;
    let digest = Digest::of(b"\0asm!");
    server.request(Method::POST, "/v1/policies").body("\0asm!").send().await.unwrap();
    assert_eq!(server.read("/v1/bindings/forecast").await["number"], 0);
    let bind = |expected: u64, revision: Value| json!({"revision": revision, "config": {"season": "week"}, "expected": expected});
    let bound = server.json(Method::PUT, "/v1/bindings/forecast", bind(0, json!(digest))).await;
    assert_eq!(bound.status(), 200);
    let bound: Value = bound.json().await.unwrap();
    assert_eq!(
        (&bound["number"], &bound["swap_ms"], &bound["config"]["season"]),
        (&json!(1), &json!(1.5), &json!("week"))
    );
    let stale = problem(server.json(Method::PUT, "/v1/bindings/forecast", bind(0, json!(null))).await, 409).await;
    assert_eq!((stale.expected, stale.actual), (Some(0), Some(1)));
    let builtin = server.json(Method::PUT, "/v1/bindings/forecast", bind(1, json!("builtin"))).await;
    let builtin: Value = builtin.json().await.unwrap();
    assert_eq!((&builtin["revision"], &builtin["previous"]), (&Value::Null, &json!(digest)));
    let back = server.request(Method::POST, "/v1/bindings/forecast/rollback").send().await.unwrap();
    assert_eq!(back.json::<Value>().await.unwrap()["revision"], json!(digest));
    problem(server.json(Method::POST, "/v1/bindings/forecast/rollback", json!({"expected": 1})).await, 409).await;
    problem(server.request(Method::POST, "/v1/bindings/place/rollback").send().await.unwrap(), 409).await;
    // One keyspace for itself.
    let own = server.json(Method::PUT, "/v1/bindings/place/t", bind(0, json!(null))).await;
    assert_eq!(own.json::<Value>().await.unwrap()["keyspace"], "t");
    assert_eq!(server.read("/v1/bindings/place/t").await["number"], 1);
    assert_eq!(server.read("/v1/bindings").await.as_array().unwrap().len(), 2);
    assert_eq!(server.request(Method::POST, "/v1/bindings/place/t/rollback").send().await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_profile_is_shown_of_a_shard_that_there_is() {
    let server = Server::start().await;
    let profile = server.read("/v1/shards/2/profile").await;
    assert_eq!((&profile["shard"], &profile["node"], &profile["requests"]), (&json!(2), &json!(1), &json!(0)));
    assert_eq!((&profile["latency_us"], &profile["split_points"]), (&json!(null), &json!([])));
    assert_eq!(profile["hot_keys"], json!([{ "key": "a%00b", "goes_on": false, "at_least": 0.5, "at_most": 0.75 }]));
    assert_eq!(server.get("/v1/shards/3/profile").await.status(), 404);
}

#[tokio::test]
async fn insights_are_shown_of_all_or_of_one_shard() {
    let server = Server::start().await;
    let all = server.read("/v1/insights").await;
    let link = json!({ "follower": 2, "leader": 1, "lag_steps": 5, "strength": 0.5, "gain": 0.25 });
    assert_eq!((&all["links"], &all["compared"], &all["omitted"]), (&json!([link]), &json!(2), &json!(1)));
    assert_eq!(all["groups"], json!([{ "shards": [1, 2], "strength": 0.75 }]));
    assert_eq!(all["clusters"], json!([{ "shards": [1], "load_share": 0.5, "profile": [1.5, null] }]));
    let driver = json!({ "shard": 2, "kind": "write-share", "strength": 0.5, "slope": 12.5, "by_hour": null });
    assert_eq!(all["drivers"], json!([driver]));
    let second = server.read("/v1/insights?shard=2").await;
    assert_eq!((&second["links"], &second["clusters"]), (&json!([link]), &json!([])));
    assert_eq!((&second["groups"], &second["drivers"]), (&all["groups"], &all["drivers"]));
    let third = server.read("/v1/insights?shard=3").await;
    assert_eq!((&third["links"], &third["groups"], &third["drivers"]), (&json!([]), &json!([]), &json!([])));
}

#[tokio::test]
async fn forecasts_heat_map_and_ranking_are_shown() {
    let server = Server::start().await;
    let forecast = server.read("/v1/forecasts?shard=2,1&horizon=2").await;
    assert_eq!(forecast["shards"][1]["paths"], json!([[4.0, 5.0], [6.0, 7.0]]));
    assert_eq!(forecast["shards"][1]["peaks"], json!([102.0, 103.0]));
    assert_eq!((&forecast["policy"], &forecast["fallback"]), (&json!("builtin"), &json!("the policy trapped")));
    let heat = server.read("/v1/heatmap?past=2&future=1").await;
    assert_eq!((&heat["metric"], &heat["column_ms"], &heat["omitted"]), (&json!("load"), &json!(300_000), &json!(0)));
    assert_eq!(heat["rows"][0]["values"], json!([null, 1.0, 2.0]));
    assert_eq!((&heat["rows"][1]["values"], &heat["rows"][1]["keyspace"]), (&json!([3.0, 4.0, 5.0]), &json!("t")));
    let hottest = server.read("/v1/heatmap?metric=read-bytes&past=2&rows=1&columns=2&resolution=5m").await;
    assert_eq!((&hottest["metric"], &hottest["future"]), (&json!("read-bytes"), &json!(0)));
    assert_eq!((hottest["rows"].as_array().unwrap().len(), &hottest["omitted"]), (1, &json!(1)));
    assert_eq!(hottest["rows"][0]["start"], server.read("/v1/shards/1").await["start"]);
    let ranking = server.read("/v1/ranking?limit=1").await;
    assert_eq!((&ranking[0]["rank"], &ranking[0]["shard"]), (&json!(1), &json!(2)));
    assert_eq!((&ranking[0]["recommended"]["from"], &ranking[0]["recommended"]["to"]), (&json!(1), &json!(2)));
    assert_eq!((&ranking[0]["replicas"], &ranking[0]["recommended_replicas"]), (&json!([1, 2, 3]), &json!([2, 1, 3])));
    let interval = json!({"low": 80.0, "high": 99.0, "low_quantile": 0.25, "high_quantile": 0.75});
    assert_eq!((&ranking[0]["peak_interval"], &ranking[0]["urgency"]), (&interval, &json!(0.5)));
    let at = |name: &str| ranking[0][name].as_u64().unwrap();
    let before = ["latest_start", "peak_from", "peak_at", "peak_until"].map(at);
    assert!(before.is_sorted_by(|earlier, later| earlier < later), "{before:?}");
    assert_eq!(ranking.as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn scores_are_shown_over_all_shards_or_of_one() {
    let server = Server::start().await;
    let all = server.read("/v1/forecasts/scores").await;
    assert_eq!((&all["shard"], &all["ranking"]["precision"]), (&Value::Null, &json!(0.75)));
    assert_eq!((&all["native"]["policy"], &all["bound"]["policy"]), (&json!("builtin"), &json!("seasonal-naive")));
    assert_eq!(
        (&all["bound"]["horizons"][0]["bias"], &all["bound"]["peaks"]["misses"]),
        (&json!(-0.125), &json!(0.25))
    );
    let second = server.read("/v1/forecasts/scores?shard=2").await;
    assert_eq!((&second["shard"], &second["guard"][0]["yielded"]), (&json!(2), &json!(1)));
    // Nothing of it was scored.
    assert_eq!(server.read("/v1/forecasts/scores?shard=1").await["bound"], Value::Null);
}

#[tokio::test]
async fn decisions_plans_and_the_brake() {
    let server = Server::start().await;
    let decisions = server.read("/v1/decisions?limit=2").await;
    assert_eq!((&decisions[0]["tick"], &decisions[1]["tick"]), (&json!(40), &json!(39)));
    let decision = server.read("/v1/decisions/7").await;
    assert_eq!(decision["tick"], 7);
    let verdicts: Vec<_> =
        decision["moves"].as_array().unwrap().iter().map(|m| (&m["verdict"], m.get("rule"))).collect();
    assert_eq!(verdicts[0], (&json!("accepted"), None));
    assert_eq!(verdicts[1], (&json!("held"), Some(&json!("mode"))));
    assert_eq!(verdicts[2], (&json!("refused"), Some(&json!("capacity-headroom"))));
    problem(server.get("/v1/decisions/99").await, 404).await;

    assert_eq!(server.read("/v1/plans/pending").await[0]["tick"], 40);
    let released = server.json(Method::POST, "/v1/plans/release", json!({"tick": 40})).await;
    assert_eq!(released.status(), 202);
    assert_eq!(released.json::<Value>().await.unwrap()["tick"], 40);
    problem(server.json(Method::POST, "/v1/plans/release", json!({"tick": 40})).await, 404).await;

    assert_eq!(server.get("/readyz").await.status(), 200);
    assert_eq!(
        server.request(Method::PUT, "/v1/halt").send().await.unwrap().json::<Value>().await.unwrap(),
        json!({"halted": true})
    );
    assert_eq!(server.read("/v1/status").await["halted"], true);
    problem(server.get("/readyz").await, 503).await;
    assert_eq!(
        server.request(Method::DELETE, "/v1/halt").send().await.unwrap().json::<Value>().await.unwrap(),
        json!({"halted": false})
    );
}

#[tokio::test]
async fn a_newer_route_table_ends_the_wait() {
    let server = Server::start().await;
    let table = server.read("/v1/routes").await;
    assert_eq!((&table["version"], &table["nodes"][0]["http_addr"]), (&json!(7), &json!("127.0.0.1:7401")));
    assert_eq!(server.get("/v1/routes?after=7").await.status(), 204);
    assert_eq!(server.read("/v1/routes?after=6&wait_ms=30000").await["version"], 7);
    let backend = Arc::clone(&server.backend);
    let wait = server.read("/v1/routes?after=7&wait_ms=30000");
    let bump = async {
        tokio::task::yield_now().await;
        backend.bump();
    };
    let (table, ()) = tokio::join!(wait, bump);
    assert_eq!(table["version"], 8);
    problem(server.get("/v1/routes?after=7&wait_ms=30001").await, 400).await;
}

#[tokio::test]
async fn history_is_imported_in_both_forms() {
    let server = Server::start().await;
    let body = json!({"metric": "load", "start": 1000, "step_ms": 300_000, "steps": 2, "shards": [1, 2], "values": [1.0, null, 3.0, 4.0]});
    let imported = server.json(Method::POST, "/v1/history", body).await;
    assert_eq!(imported.json::<Value>().await.unwrap(), json!({"shards": 2, "steps": 2}));
    let batch = LoadBatch {
        metric: Metric::Load,
        start: isobar_model::InstantMs(1000),
        step_ms: 300_000,
        steps: 1,
        shards: vec![ShardId(1)],
        values: vec![f32::NAN],
    };
    let compact = server.request(Method::POST, "/v1/history").header("content-type", "application/octet-stream");
    let compact = compact.body(postcard::to_allocvec(&batch).unwrap()).send().await.unwrap();
    assert_eq!(compact.status(), 200);
    let imported = server.backend.imported();
    assert!(imported[0].values[1].is_nan() && imported[1].values[0].is_nan());
}

#[tokio::test]
async fn figures_of_the_node_and_of_the_api_are_scraped() {
    let server = Server::start().await;
    server.get("/v1/kv/t/a").await;
    let scrape = server.get("/metrics").await;
    assert!(scrape.headers()["content-type"].to_str().unwrap().starts_with("application/openmetrics-text"));
    let text = scrape.text().await.unwrap();
    for line in [
        r#"isobar_http_requests_total{method="GET",route="/v1/kv/{keyspace}/{*key}",status="404"} 1"#,
        r#"isobar_http_request_seconds_count{method="GET",route="/v1/kv/{keyspace}/{*key}"} 1"#,
        "isobar_http_in_flight 1",
        r#"isobar_shard_reads_total{shard="1"} 5"#,
        "isobar_route_version 7",
        "# EOF",
    ] {
        assert!(text.lines().any(|l| l.trim_end_matches(".0") == line), "{line} is not in\n{text}");
    }
}

#[tokio::test]
async fn history_is_shown_a_page_at_a_time_in_both_forms() {
    let server = Server::start().await;
    let first = server.read("/v1/history?resolution=1m&from=600000&to=720000").await;
    assert_eq!(
        first,
        json!({
            "metric": "load", "start": 600_000, "step_ms": 60_000, "steps": 2, "next": 1,
            "rows": [{"shard": 1, "mean": [1.5, null], "max": [3.0, null], "coverage": [0.5, 0.0]}],
        })
    );
    let last = server.read("/v1/history?resolution=1m&from=600000&to=720000&after=1").await;
    assert_eq!((&last["rows"][0]["shard"], last.get("next")), (&json!(2), None));
    let compact = server.request(Method::GET, "/v1/history?shard=1").header("accept", "application/octet-stream");
    let bytes = compact.send().await.unwrap().bytes().await.unwrap();
    let page: HistoryPage<ShardId> = postcard::from_bytes(&bytes).unwrap();
    assert_eq!((page.rows[0].key, page.rows[0].steps[0].peak), (ShardId(1), 3.0));
    for (query, status) in [("resolution=7m", 400), ("metric=vibes", 400), ("shard=x", 400), ("shard=9", 404)] {
        problem(server.get(&format!("/v1/history?{query}")).await, status).await;
    }
    problem(server.get("/v1/history?metric=read-ops&resolution=10s").await, 422).await;
}

#[tokio::test]
async fn what_nodes_use_is_shown_and_forecast() {
    let server = Server::start().await;
    let nodes = server.read("/v1/nodes").await;
    assert_eq!(nodes[0]["usage"]["cpu_millicores"], 250.0);
    assert_eq!((&nodes[0]["usage"]["memory_bytes"], &nodes[1]["usage"]), (&Value::Null, &Value::Null));
    let history = server.read("/v1/nodes/1/history?resolution=1m").await;
    assert_eq!(
        history["rows"],
        json!([{"metric": "cpu-millicores", "mean": [null], "max": [null], "coverage": [0.0]}])
    );
    let forecast = server.read("/v1/nodes/1/forecast").await;
    let figure =
        json!({"metric": "cpu-millicores", "idle": 40.0, "per_led": 0.5, "per_followed": null, "paths": [[250.0]]});
    assert_eq!(forecast["figures"], json!([figure]));
    for path in ["/v1/nodes/9/history", "/v1/nodes/9/forecast"] {
        problem(server.get(path).await, 404).await;
    }
}
