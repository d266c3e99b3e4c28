//! Load: what was, what is forecast, and what is found in it.

use super::{Client, ClientError, ClientResult, UPLOAD, with_query};
use isobar_api::{
    COMPACT_HISTORY, ForecastInfo, ForecastQuery, HeatMapInfo, HeatMapQuery, HistoryAsk, ImportInfo, InsightsInfo,
    InsightsQuery, NodeExplainInfo, NodeForecastInfo, RankedInfo, RankingQuery, ScoresInfo, ScoresQuery,
    ShardExplainInfo, WhatIf, WhatIfInfo,
};
use isobar_model::history::HistoryPage;
use isobar_model::{LoadBatch, NodeId, ShardId};
use reqwest::Method;

impl Client {
    /// Forecasts load.
    pub async fn forecast(&self, query: &ForecastQuery) -> ClientResult<ForecastInfo> {
        self.query("/v1/forecasts", query).await
    }

    /// What a node is about to use.
    pub async fn node_forecast(&self, id: NodeId) -> ClientResult<NodeForecastInfo> {
        self.get_json(&format!("/v1/nodes/{id}/forecast")).await
    }

    /// The heat map.
    pub async fn heat_map(&self, query: &HeatMapQuery) -> ClientResult<HeatMapInfo> {
        self.query("/v1/heatmap", query).await
    }

    /// How good forecasts were, over all shards or of one.
    pub async fn forecast_scores(&self, query: &ScoresQuery) -> ClientResult<ScoresInfo> {
        self.query("/v1/forecasts/scores", query).await
    }

    /// Why a shard is where it is.
    pub async fn explain_shard(&self, shard: ShardId) -> ClientResult<ShardExplainInfo> {
        self.get_json(&format!("/v1/shards/{shard}/explain")).await
    }

    /// What becomes of a node.
    pub async fn explain_node(&self, node: NodeId) -> ClientResult<NodeExplainInfo> {
        self.get_json(&format!("/v1/nodes/{node}/explain")).await
    }

    /// What would be planned if things were otherwise.
    pub async fn what_if(&self, asked: &WhatIf) -> ClientResult<WhatIfInfo> {
        self.post("/v1/what-if", asked).await
    }

    /// Shards by predicted load.
    pub async fn ranking(&self, query: &RankingQuery) -> ClientResult<Vec<RankedInfo>> {
        self.query("/v1/ranking", query).await
    }

    /// What drives what.
    pub async fn insights(&self, query: &InsightsQuery) -> ClientResult<InsightsInfo> {
        self.query("/v1/insights", query).await
    }

    /// Imports history.
    pub async fn import_history(&self, batch: &LoadBatch) -> ClientResult<ImportInfo> {
        let body = postcard::to_allocvec(batch)
            .map_err(|error| ClientError::Usage(format!("the batch can't be written: {error}")))?;
        let request = self.request(Method::POST, "/v1/history").header("content-type", COMPACT_HISTORY);
        self.read(request.timeout(UPLOAD).body(body)).await
    }

    /// A page of recorded history, in the compact form.
    pub async fn history_page(&self, ask: &HistoryAsk) -> ClientResult<HistoryPage<ShardId>> {
        let request = self.request(Method::GET, &with_query("/v1/history", ask)).header("accept", COMPACT_HISTORY);
        let response = self.send(request.timeout(UPLOAD)).await?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        postcard::from_bytes(&body).map_err(|error| self.unexpected(status, error))
    }
}
