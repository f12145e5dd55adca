// Package datagram seals and opens the datagrams between members (UDP, port 5405). It does not know what they say,
// sends nothing by itself, and repeats nothing.
//
// [Session] is the core for one peer: keys, counters and replay windows, with the time passed in. [Hub] and [Socket] are
// the shell: sockets, the filter of source addresses, and locks.
//
// # Packet
//
// Numbers are big endian.
//
//	version   1  1
//	type      1  bits 0-3: 1 data, 2 confirmation without payload; bit 4: 0; bits 5-7: acknowledgement, see below
//	epoch     2  number of the key
//	sender    2  node id
//	receiver  2  node id
//	counter   8  from 1, for each epoch and link
//	payload      0 to 1,200 bytes, AES-256-GCM
//	tag      16
//
// The first 16 bytes are authenticated. The nonce is salt || counter. Nothing but the version, the two
// ids, the epoch and the length is looked at before the tag is checked, and nothing of a packet is used before that.
//
// # Keys
//
// Each TLS session between two peers gives a chain secret of 32 bytes (transport.ExportDatagram). With Expand being
// HKDF-Expand (SHA-256, RFC 5869), ids and links in decimal:
//
//	direction secret of the first epoch = Expand(chain secret, "quorate datagram <sender> <receiver>", 32)
//	number of the first epoch           = Expand(chain secret, "quorate datagram epoch", 2)
//	key and salt of an epoch on a link  = Expand(direction secret, "quorate datagram link <link>", 32+4)
//	direction secret of the next epoch  = Expand(direction secret, "quorate datagram next", 32)
//
// A secret is erased when the one that follows it is made, so keys of the past can't be made again. As a new TLS session has
// new secrets, no counter has to survive a restart.
//
// # Rotation
//
// A sender goes to the next epoch after an hour or 2^32 packets on a link, but never twice within 30 seconds. A receiver accepts its
// newest epoch and the next, and the one before for 30 seconds. The sender must not get two epochs ahead of a receiver
// that a broken link kept from hearing the first of them: so bits 5 to 7 of the type of each packet are the lowest three bits
// of the newest epoch that its sender has accepted, and who has not seen its newest epoch acknowledged does not rotate. (One
// bit would tell two neighbours apart, but a packet that was late by a rotation could then acknowledge the wrong one.) A counter
// can't run out meanwhile in practice; at 256 times the limit Seal refuses.
//
// New entropy comes with each new TLS session, which gives a new chain; the owner can make one at any time. (The design asked for a new exported
// value in each rotation as long as the TCP session is alive. But the two ends can disagree on whether it is, and then every
// heartbeat would be lost; a new chain has the same effect without that risk.)
//
// # Change of the chain
//
// A chain has the number that the dialling side gave its connection, so both ends order chains alike. A sender uses the newest chain on which it
// has heard the peer, since then the peer has it; if there is none, the newest. As long as the newest is not the one in use, Confirm gives a
// packet without payload under it, to be sent beside each datagram. An older chain is forgotten 30 seconds after data came
// under a newer one. So a change loses no datagram, whichever side learns of it first, and also if one direction is dead.
//
// # Concurrency
//
// A Session is used by one goroutine at a time. All methods of Hub and Socket may be called by several.
package datagram
