// Package raftlog is the stable storage of one replica: the raft log, the hard state, the applied index with the
// configuration that belongs to it, the node's identity, and the newest snapshot. It knows nothing about what
// the entries say, and it decides nothing: what is saved comes from [replica.Save].
//
// # Promises
//
// A Save is one bbolt transaction: after a crash all of it is there or nothing, and what [Log.Save] has
// returned nil for is there. An error of a write or of an fsync ends the log: the state of the file is
// unknown from then on, so every later call returns the same [FatalError] and the process has to end.
// What is read is checked before it is used; what is damaged is refused with a [DamageError] that names the
// file, the bucket and the index, and never skipped. A log is made once, by [Create]; [Open] never makes
// one, so a node whose folder was wiped cannot start again under its old identity by accident.
//
// # Files
//
//	lock                            locked (flock) while the log is open
//	log.db                          bbolt, page size 4096, without a stored free list
//	snapshot-<index>-<term>         16 hexadecimal digits each; the newest snapshot
//	*.tmp                           left over by a crash, removed by Open
//
// Numbers are little endian except in keys. CRC32C is the Castagnoli polynomial.
//
// Bucket "entries": the key is the index (8 bytes, big endian), the value
//
//	crc     4  CRC32C over the byte 'e', the key and all that follows here
//	prev    4  the crc of the entry before; so the records are a chain
//	type    1  raftpb.EntryType
//	term    8
//	data    to the end
//
// Bucket "state", key "identity" and key "state": a CRC32C over the byte 'i' or 's' and all that follows, a
// format version (1 byte, now 1), then the fields in the order in which encode.go writes them. The state record is
// written by each transaction. It holds the number of that transaction, which must be the one in bbolt's meta page, and the
// index, the term and the crc of the last entry, which must be those of the last record of the chain; so a
// page that is older than it should be, anywhere in the file, is found as well as one that is damaged.
//
// bbolt itself checks its two meta pages only, and where the newer one is damaged it goes on silently with the older
// one, which is one transaction behind. So before bbolt sees the file, check.go reads every page that the tree
// reaches and refuses the file if a meta page, a page header, an element or the order of the keys is
// wrong. The free list is not stored (bbolt rebuilds it when it opens the file): it is the one structure
// that neither bbolt nor a record's checksum covers, and leaving it out also saves one page in each commit.
//
// A snapshot file is
//
//	magic   8  "QRTSNAP1"
//	crc     4  CRC32C over the rest of the header
//	length  4  length of the rest of the header
//	index 8, term 8, size of the data 8, SHA-256 of the data 32, configuration (raftpb.ConfState)
//	data
//
// It is written under a temporary name, synced, renamed, and its folder synced, before the transaction that names it.
//
// # Concurrency
//
// All methods may be called by several goroutines. Saves run one after the other, and reads go on beside a Save
// and see the state before it until it has returned. Reads of the newest entries (Options.CacheBytes)
// come from memory.
package raftlog
