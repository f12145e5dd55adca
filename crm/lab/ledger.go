package lab

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Kind says what a record of the ledger tells.
type Kind string

// Kinds of records. The first four come from agents and their holders inside the machines, the others from
// the lab.
const (
	KindUp       Kind = "up"       // the holder of a resource has the lock: it may touch data
	KindDown     Kind = "down"     // the holder gave the lock back in order
	KindConflict Kind = "conflict" // a holder could not get the lock: somebody else has it
	KindCall     Kind = "call"     // an agent ended: Op and RC
	KindOff      Kind = "off"      // a machine has lost power and all its processes are gone: By
	KindOn       Kind = "on"       // a machine gets power
	KindKill     Kind = "kill"     // the lab has killed the holder of a resource
	KindFault    Kind = "fault"    // the lab did something else to the cluster: Detail
	KindTopology Kind = "topology" // from now on these machines have contact with a majority: Quorate
)

// Who switched a machine off, in By.
const (
	ByFence = "fence" // the power switch, asked by the cluster
	ByLab   = "lab"   // the lab itself: the cluster has no proof of it
)

// Record is one line of the ledger.
type Record struct {
	At       int64    `json:"at"` // CLOCK_MONOTONIC in nanoseconds; all machines of the lab share it
	Kind     Kind     `json:"kind"`
	Node     string   `json:"node,omitempty"`
	Resource string   `json:"resource,omitempty"`
	Op       string   `json:"op,omitempty"`
	RC       int      `json:"rc"`
	By       string   `json:"by,omitempty"`
	Detail   string   `json:"detail,omitempty"`
	Quorate  []string `json:"quorate,omitempty"`
	// Began is when the operation of a call began, by the same clock.
	Began int64 `json:"began,omitempty"`
}

// String is the record in one line for people.
func (r Record) String() string {
	s := fmt.Sprintf("%.3fs %s", time.Duration(r.At).Seconds(), r.Kind)
	for _, f := range []string{r.Node, r.Resource, r.Op, r.By, r.Detail} {
		if f != "" {
			s += " " + f
		}
	}
	if r.Kind == KindCall {
		s += fmt.Sprintf(" rc=%d", r.RC)
	}
	if r.Kind == KindTopology {
		s += fmt.Sprint(" ", r.Quorate)
	}
	return s
}

// mono is CLOCK_MONOTONIC in nanoseconds.
func mono() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		panic(err) // cannot fail for this clock
	}
	return ts.Nano()
}

// appendRecord adds a record to the ledger file. One write of less than a page to a file that is opened for
// appending is not mixed with those of other processes.
func appendRecord(file string, r Record) error {
	if r.At == 0 {
		r.At = mono()
	}
	line, err := json.Marshal(r)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(append(line, '\n'))
	return errors.Join(err, f.Close())
}

// parseLedger reads a ledger. Records are in the order in which they were written. A last line without its
// end is left out: a machine may have lost power while it wrote.
func parseLedger(r io.Reader) ([]Record, error) {
	var list []Record
	in := bufio.NewReader(r)
	for n := 1; ; n++ {
		line, err := in.ReadBytes('\n')
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		var rec Record
		if err := json.Unmarshal(bytes.TrimSpace(line), &rec); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		list = append(list, rec)
	}
}

// readLedger reads the ledger file; one that is not there yet is empty.
func readLedger(file string) ([]Record, error) {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := parseLedger(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return list, nil
}
