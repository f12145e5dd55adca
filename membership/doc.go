// Package membership says who is there: node identity, heartbeats on every link, the connectivity
// matrix of the cluster, and which nodes go on together on a partial fault.
//
// The package is a state machine in raft's form. It reads no clock, opens no socket and starts no
// goroutine. All methods of one value must be called by one goroutine. Instants are nanoseconds of the
// monotonic clock of the process.
package membership
