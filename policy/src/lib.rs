//! Cookbooks to graph, graph to catalog. Pure: takes bytes, gives values.
