//! What a policy proposed in one step, and what the host made of it.

use isobar_model::CheckedMove;

/// One step's plan as judged.
#[derive(Clone, Debug, PartialEq)]
pub struct Round {
    /// The step at whose beginning it was made.
    pub step: usize,
    /// Moves with their verdicts, in the plan's order; of those refused the first 256.
    pub moves: Vec<CheckedMove>,
    /// What was not done, and why.
    pub notes: Vec<String>,
}
