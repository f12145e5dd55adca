package raftlog

import (
	"errors"
	"fmt"
)

// ErrNoLog is returned by Open when the folder holds no log: the node was never initialised, or its
// folder was wiped.
var ErrNoLog = errors.New("no raft log")

// ErrExists is returned by Create when the folder already holds a log.
var ErrExists = errors.New("a raft log exists already")

// ErrLocked is returned when another process has the log open.
var ErrLocked = errors.New("the raft log is in use by another process")

// ErrClosed is returned by calls after Close.
var ErrClosed = errors.New("the raft log is closed")

// DamageError says that stored data is not what was written. The log is refused as a whole: a node that goes on
// with a part of its log could vote against what it has already promised.
type DamageError struct {
	File   string // name of the file within the folder of the log
	Bucket string // bbolt bucket, or "" when the damage is in the file's structure
	Index  uint64 // log index or page number, 0 when neither applies
	What   string // what is wrong
}

// Error names the place and what to do.
func (e *DamageError) Error() string {
	where := e.File
	if e.Bucket != "" {
		where += ", bucket " + e.Bucket
	}
	if e.Index != 0 {
		where += fmt.Sprintf(", index %d", e.Index)
	}
	return fmt.Sprintf("raft log is damaged: %s: %s (this node must leave and join again with an empty folder)", where, e.What)
}

// VersionError says that a record was written in a form that this program does not know.
type VersionError struct {
	Record string
	Have   uint8 // the version found
	Want   uint8 // the newest version known here
}

// Error names both versions.
func (e *VersionError) Error() string {
	return fmt.Sprintf("raft log: record %q has format version %d, this program knows up to %d: install a newer quorated", e.Record, e.Have, e.Want)
}

// FatalError says that the storage can no longer be trusted: a write, an fsync or a mapped read did not
// succeed, or a Save contradicted the log. The process must end; the same file is not tried again.
type FatalError struct {
	Op  string // what was tried
	Err error
}

// Error gives the operation and the cause.
func (e *FatalError) Error() string {
	return fmt.Sprintf("raft log: %s: %v (storage errors end the process)", e.Op, e.Err)
}

// Unwrap gives the cause.
func (e *FatalError) Unwrap() error { return e.Err }
