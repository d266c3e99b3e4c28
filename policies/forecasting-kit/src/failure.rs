/// Why a forecasting policy could not answer; the contract's `failure`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// The configuration does not fit; the text names the field.
    #[error("configuration: {0}")]
    Config(String),
    /// Not enough history yet.
    #[error("not ready: {0}")]
    NotReady(String),
    /// Anything else.
    #[error("{0}")]
    Other(String),
}
