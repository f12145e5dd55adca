// Package cibtoml reads and writes the configuration part of a cluster document as TOML, the native,
// declarative form: one file says the whole cluster. docs/reference-toml.md describes the form.
//
// What has a usual form is short: sets of attributes are tables of names and values, operations tables by
// name, ids of parts are made from the id of what they belong to. Everything else of the model has a long
// form with explicit ids, scores and rules, so that nothing is lost: Read(Write(doc)) equals
// cib.Canonical(doc) but for positions and the order of cluster properties.
//
// Reading is strict. Unknown keys, wrong types and values that no cluster can use are errors, each with line,
// column and key path, and the nearest name that would be right. Passwords and keys must be references to
// where they are kept, unless a resource names the parameter in insecure-plain.
//
// The package is pure: bytes in, document out, and back.
package cibtoml
