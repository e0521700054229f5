//! Places in the policy repository, as diagnostics have them.

use converge_model::graph::Position;
use converge_model::{Graph, SourceSpan};

/// The place of a position. A node has no sources, so that its bytes are unknown: `start` and `end` are 0.
pub(crate) fn span(graph: &Graph, at: Position) -> SourceSpan {
    SourceSpan { file: graph.file(at).to_owned(), line: at.line, column: at.column, start: 0, end: 0 }
}

/// The place of a line in the file of a position.
pub(crate) fn line_span(graph: &Graph, at: Position, line: u32) -> SourceSpan {
    span(graph, on_line(at, line))
}

/// A line of the file of a position: the position itself where it is on that line, else the line's beginning.
pub(crate) fn on_line(at: Position, line: u32) -> Position {
    if at.line == line { at } else { Position { line, column: 1, ..at } }
}
