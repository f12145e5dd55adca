// Package membership says who is there: node identity, heartbeats on every link, the connectivity matrix
// of the cluster, and which nodes go on together on a partial fault.
//
// [Core] is the state machine of one node, in raft's form: inputs are methods that take the present instant,
// results are values that [Core.Ready] returns. It reads no clock, opens no socket and starts no goroutine.
// All methods of one Core must be called by one goroutine. Times are nanoseconds on the monotonic clock of
// the process.
//
// # What it concludes
//
// A heartbeat goes to each peer on each link in every interval. A link is dead after a dead time of silence
// (package detector), which grows with measured jitter and loss, and starts anew when this process finds
// that it was stopped itself. A peer is [Lost] when all links to it are dead and nobody who is heard here
// hears it; it is [Cut] when it lives for others but this node can't work with it. Neither says that it does not
// run: only fencing does.
//
// Every heartbeat carries its sender's row of the matrix (who it hears on which link) and, as room permits, the
// rows of peers that it hears, with their ages; so everyone knows the whole matrix. From it [Matrix.Best] finds
// the largest set of nodes that are all connected with each other and have a majority of the votes. When the set
// has been the same for a while, [Core.View] names the nodes outside of it that may be alive: these are to be
// isolated, and nobody else. Package quorum says what a majority is and what half of the voters may do.
//
// What this package does not do: it does not decide to fence, it does not change voters (see quorum.Next), and
// it does not authenticate; a payload must come from an authenticated datagram of the peer that is named.
//
// The form of a heartbeat is described at the type heartbeat.
package membership
