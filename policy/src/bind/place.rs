//! Places in the policy repository, as diagnostics have them.

use converge_model::graph::Position;
use converge_model::{Graph, SourceSpan};

/// The place of a position. A node has no sources, so that its bytes are unknown: `start` and `end` are 0.
pub(crate) fn span(graph: &Graph, at: Position) -> SourceSpan {
    SourceSpan { file: graph.file(at).to_owned(), line: at.line, column: at.column, start: 0, end: 0 }
}
