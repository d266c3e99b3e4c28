//! What the cluster is made of, and what moves in it: keyspaces, nodes, shards, migrations, routes.

use super::{ANSWER, Client, ClientResult, segment};
use isobar_api::{
    CreateKeyspace, GainsInfo, KeyspaceInfo, MigrationInfo, MigrationQuery, MoveShard, NodeInfo, PlacementRulesInfo,
    RouteQuery, RouteTable, SetAbstain, SetMode, ShardDetail, ShardPage, ShardProfileInfo, ShardQuery, StatusInfo,
    TransferLeader, Verification,
};
use isobar_model::{Mode, NodeId, OperationId, ShardId};
use reqwest::{Method, StatusCode};
use std::time::Duration;

impl Client {
    /// The cluster at a glance.
    pub async fn status(&self) -> ClientResult<StatusInfo> {
        self.get_json("/v1/status").await
    }

    /// Whether the node can serve; the problem says what it waits for.
    pub async fn ready(&self) -> ClientResult<()> {
        self.send(self.request(Method::GET, "/readyz")).await.map(drop)
    }

    /// Figures as OpenMetrics text.
    pub async fn metrics(&self) -> ClientResult<String> {
        let response = self.send(self.request(Method::GET, "/metrics")).await?;
        response.text().await.map_err(|error| self.unreachable(&error))
    }

    /// All keyspaces.
    pub async fn keyspaces(&self) -> ClientResult<Vec<KeyspaceInfo>> {
        self.get_json("/v1/keyspaces").await
    }

    /// One keyspace.
    pub async fn keyspace(&self, name: &str) -> ClientResult<KeyspaceInfo> {
        self.get_json(&format!("/v1/keyspaces/{}", segment(name.as_bytes()))).await
    }

    /// Creates a keyspace; gives back once every shard has a leader.
    pub async fn create_keyspace(&self, create: &CreateKeyspace) -> ClientResult<KeyspaceInfo> {
        self.post("/v1/keyspaces", create).await
    }

    /// Sets a keyspace's mode.
    pub async fn set_mode(&self, name: &str, mode: Mode) -> ClientResult<KeyspaceInfo> {
        let path = format!("/v1/keyspaces/{}/mode", segment(name.as_bytes()));
        self.read(self.request(Method::PUT, &path).json(&SetMode { mode })).await
    }

    /// Where a keyspace's replicas may live.
    pub async fn placement_rules(&self, name: &str) -> ClientResult<PlacementRulesInfo> {
        self.get_json(&rules_of(name)).await
    }

    /// Says where they may live, in place of what was said before.
    pub async fn set_placement_rules(
        &self,
        name: &str,
        rules: &PlacementRulesInfo,
    ) -> ClientResult<PlacementRulesInfo> {
        self.read(self.request(Method::PUT, &rules_of(name)).json(rules)).await
    }

    /// Whether moves by forecast pay, by keyspace.
    pub async fn gains(&self) -> ClientResult<Vec<GainsInfo>> {
        self.get_json("/v1/gains").await
    }

    /// Whether they pay in a keyspace.
    pub async fn gains_of(&self, name: &str) -> ClientResult<GainsInfo> {
        self.get_json(&book_of(name)).await
    }

    /// Says whether they stop there where they are not shown to pay.
    pub async fn set_abstain(&self, name: &str, abstain: bool) -> ClientResult<SetAbstain> {
        self.read(self.request(Method::PUT, &book_of(name)).json(&SetAbstain { abstain })).await
    }

    /// Begins a keyspace's book from nothing.
    pub async fn reset_gains(&self, name: &str) -> ClientResult<()> {
        self.send(self.request(Method::DELETE, &book_of(name))).await.map(drop)
    }

    /// All nodes.
    pub async fn nodes(&self) -> ClientResult<Vec<NodeInfo>> {
        self.get_json("/v1/nodes").await
    }

    /// One node.
    pub async fn node(&self, id: NodeId) -> ClientResult<NodeInfo> {
        self.get_json(&format!("/v1/nodes/{id}")).await
    }

    /// Begins, or ends, emptying a node.
    pub async fn set_draining(&self, id: NodeId, draining: bool) -> ClientResult<NodeInfo> {
        let method = if draining { Method::POST } else { Method::DELETE };
        self.read(self.request(method, &format!("/v1/nodes/{id}/drain"))).await
    }

    /// A page of shards.
    pub async fn shards(&self, query: &ShardQuery) -> ClientResult<ShardPage> {
        self.query("/v1/shards", query).await
    }

    /// One shard, with its group.
    pub async fn shard(&self, id: ShardId) -> ClientResult<ShardDetail> {
        self.get_json(&format!("/v1/shards/{id}")).await
    }

    /// What a shard's requests are like.
    pub async fn shard_profile(&self, id: ShardId) -> ClientResult<ShardProfileInfo> {
        self.get_json(&format!("/v1/shards/{id}/profile")).await
    }

    /// Compares a shard's replicas by digest.
    pub async fn verify_shard(&self, id: ShardId) -> ClientResult<Verification> {
        self.read(self.request(Method::POST, &format!("/v1/shards/{id}/verify"))).await
    }

    /// Begins moving a replica.
    pub async fn move_shard(&self, id: ShardId, from: NodeId, to: NodeId) -> ClientResult<MigrationInfo> {
        self.post(&format!("/v1/shards/{id}/move"), &MoveShard { from, to }).await
    }

    /// Begins giving leadership to another replica.
    pub async fn transfer_leader(&self, id: ShardId, to: NodeId) -> ClientResult<MigrationInfo> {
        self.post(&format!("/v1/shards/{id}/transfer-leader"), &TransferLeader { to }).await
    }

    /// Migrations, newest first.
    pub async fn migrations(&self, query: &MigrationQuery) -> ClientResult<Vec<MigrationInfo>> {
        self.query("/v1/migrations", query).await
    }

    /// One migration.
    pub async fn migration(&self, id: OperationId) -> ClientResult<MigrationInfo> {
        self.get_json(&format!("/v1/migrations/{id}")).await
    }

    /// Gives a migration up.
    pub async fn cancel_migration(&self, id: OperationId) -> ClientResult<MigrationInfo> {
        self.read(self.request(Method::POST, &format!("/v1/migrations/{id}/cancel"))).await
    }

    /// The route table; none: nothing newer than `after` within `wait_ms`.
    pub async fn routes(&self, query: &RouteQuery) -> ClientResult<Option<RouteTable>> {
        let mut path = format!("/v1/routes?wait_ms={}", query.wait_ms.unwrap_or(0));
        if let Some(after) = query.after {
            path.push_str(&format!("&after={after}"));
        }
        let request =
            self.request(Method::GET, &path).timeout(ANSWER + Duration::from_millis(query.wait_ms.unwrap_or(0)));
        let response = self.send(request).await?;
        let status = response.status();
        if status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let body = response.bytes().await.map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&body).map(Some).map_err(|error| self.unexpected(status, error))
    }
}

fn book_of(name: &str) -> String {
    format!("/v1/keyspaces/{}/gains", segment(name.as_bytes()))
}

fn rules_of(name: &str) -> String {
    format!("/v1/keyspaces/{}/rules", segment(name.as_bytes()))
}
