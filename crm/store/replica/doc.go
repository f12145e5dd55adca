// Package replica drives one raft replica as a step function.
package replica
