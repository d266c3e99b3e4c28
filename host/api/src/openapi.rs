//! `/openapi.json`: every route described, from the same handlers that serve it.

use crate::ApiState;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use std::sync::Arc;
use utoipa::Modify;
use utoipa::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};

/// The document without its paths: each group of routes adds its own.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Isobar",
        description = "A sharded, replicated key-value store whose forecasting and placement policies are WebAssembly components.\n\n\
            Errors are `application/problem+json` (RFC 9457): `detail` says what to do. Keys in JSON are percent-encoded as in paths, \
            values are base64. Instants are milliseconds since the Unix epoch on the control clock. Loads are load units per second.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    // The wildcard of these three can't be said in a path of OpenAPI, so they are described here and routed by hand.
    paths(crate::kv::get, crate::kv::put, crate::kv::delete),
    components(schemas(crate::problem::Problem)),
    security((), ("token" = [])),
    modifiers(&Token),
    tags(
        (name = "key-value", description = "Keys and values"),
        (name = "keyspaces", description = "Named sets of keys"),
        (name = "nodes", description = "Storage processes"),
        (name = "shards", description = "Ranges of a keyspace, each with its Raft group"),
        (name = "migrations", description = "Moves being carried out"),
        (name = "policies", description = "Uploaded WebAssembly components"),
        (name = "bindings", description = "Which policy serves which role"),
        (name = "forecasts", description = "Load to come"),
        (name = "decisions", description = "What the loop did, and why"),
        (name = "routes", description = "Which shard holds which key"),
        (name = "events", description = "What happens"),
        (name = "operations", description = "The cluster as a whole"),
    )
)]
pub(crate) struct Document;

struct Token;

impl Modify for Token {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("Needed where the node was started with a token."))
            .build();
        document.components.get_or_insert_default().add_security_scheme("token", SecurityScheme::Http(bearer));
    }
}

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses((status = 200, description = "OpenAPI 3.1", content_type = "application/json", body = Object)))]
pub(crate) async fn show(State(state): State<Arc<ApiState>>) -> impl IntoResponse {
    // Set before the first request can come.
    let document = state.document.get().map_or_else(String::new, ToString::to_string);
    ([(header::CONTENT_TYPE, "application/json")], document)
}
