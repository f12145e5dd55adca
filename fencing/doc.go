// Package fencing makes sure that a node can't touch resources: which devices can do it, who carries it
// out, in which order, how often and for how long, and what came of it.
//
// It has three parts, all without clock, randomness, I/O or goroutine:
//
//   - [Device] and [Topology]: what the configuration says about devices, read from pcmk_ parameters and the
//     metadata of their agents.
//   - [Plan] and [Choose]: with which devices a target is fenced, and which member carries that out. A node
//     fences itself only when nobody else can.
//   - [Core]: carries out the orders given to this node, as a state machine in raft's form. Programs are
//     run by somebody else; the core says which device is to do what, by the id of the device, so it never
//     holds passwords.
//
// What is asked for and what came of it is replicated like every other action: package command has the pending
// fencings and their history, and sees to it that a target is fenced once at a time in the whole cluster.
//
// # Rules
//
// Only an action that a device confirmed is a success; a timeout is unknown, and unknown is no success. A
// reboot is done by the agent's reboot; when several devices must act together, or an agent has no reboot, all
// are switched off and then on again, and it has succeeded when all are off: whether the node comes back does not
// matter to its resources. Two orders of the same action on a target are one. An answer that comes
// after its order was cancelled is told as late, and while it may still come no second power cycle is begun.
//
// A value of this package must be used by one goroutine at a time. Times are nanoseconds of the monotonic
// clock of the process.
package fencing
