//! The one error type of this crate.

use crate::method::Method;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, PruneError>;

/// Settings that cannot stand.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum PruneError {
    /// A share of tokens is none.
    #[error("`{method}`: `{field}` is {found}, expected {expected}")]
    Share {
        /// The method.
        method: Method,
        /// The setting.
        field: &'static str,
        /// Its value.
        found: f64,
        /// The range.
        expected: &'static str,
    },

    /// A method with stages has none.
    #[error("`{method}` has no `stages`; expected at least one, as `{{ layer = 8, keep = 0.5 }}`")]
    NoStages {
        /// The method.
        method: Method,
    },

    /// A stage does not come behind the one in front of it, or brings tokens back.
    #[error(
        "`{method}`: stage {stage} keeps {keep} from layer {layer} on, behind {keep_before} from layer {layer_before} on; layers have to grow and shares must not"
    )]
    Order {
        /// The method.
        method: Method,
        /// Place of the stage, from 0.
        stage: usize,
        /// Its first layer.
        layer: usize,
        /// Its share.
        keep: f64,
        /// The first layer of the stage before.
        layer_before: usize,
        /// The share of the stage before.
        keep_before: f64,
    },

    /// A layer that no scores come in front of, or that the decoder does not have.
    #[error("`{method}`: `layer` is {found}, expected 1 to {last}: scores come from the layer in front of it")]
    Layer {
        /// The method.
        method: Method,
        /// The layer.
        found: usize,
        /// The last layer of the decoder.
        last: usize,
    },

    /// A decoder of so few layers has no place for a stage.
    #[error("a decoder of {layers} layers has no room for `{method}`, which needs at least 2")]
    TooShallow {
        /// The method.
        method: Method,
        /// L.
        layers: usize,
    },

    /// A mean over layers that the method cannot reach, for its first layers see everything.
    #[error(
        "`{method}` leaves at least {least:.3} of the visual tokens as a mean over {layers} layers; {share} is too few"
    )]
    OutOfReach {
        /// The method.
        method: Method,
        /// What was asked for.
        share: f64,
        /// What is left where every stage drops all it can.
        least: f64,
        /// L.
        layers: usize,
    },

    /// No method has the name.
    #[error(
        "`{found}` is no pruning method, expected one of {}, with a share as in `fastv:0.5`",
        Method::ALL.map(|method| format!("`{method}`")).join(", ")
    )]
    Unknown {
        /// What was given.
        found: String,
    },

    /// What stands behind the colon is no number.
    #[error("`{found}` is no share of tokens, expected a number above 0 and up to 1, as in `fastv:0.5`")]
    NoNumber {
        /// What was given.
        found: String,
    },
}
