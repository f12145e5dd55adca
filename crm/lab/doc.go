// Package lab starts whole clusters of real daemons on one machine: in network namespaces joined by a
// user-space switch (tests with faults, figures, comparison with the peer), or on loopback addresses (the
// demo, without root).
//
// What it asserts comes from outside the daemons: a ledger that the agents write, the log of the power
// switch, the cut matrix of the switch, and histories of clients.
package lab
