package audit

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Record is a record as it was written.
type Record struct {
	Seq   uint64
	Time  time.Time
	Node  string
	Event string
	// Data holds strings, json.Number, booleans, lists and objects.
	Data map[string]any
	Line []byte // valid during the call that it is given to
}

// Text returns a field of the data as text, "" if it is not there.
func (r *Record) Text(name string) string {
	switch v := r.Data[name].(type) {
	case nil:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	default:
		return fmt.Sprint(v)
	}
}

// Read gives each whole record of a log to f, oldest first, until f returns an error. It checks each record by itself
// but not the chain (Verify does); what is no record is skipped and counted.
func Read(dir string, f func(Record) error) (skipped int, err error) {
	names, err := fileNames(dir)
	if err != nil {
		return 0, err
	}
	for _, name := range names {
		n, err := readFile(filepath.Join(dir, name), f)
		skipped += n
		if err != nil {
			return skipped, err
		}
	}
	return skipped, nil
}

func readFile(path string, f func(Record) error) (skipped int, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("read audit log: %w", err)
	}
	defer file.Close()
	in := bufio.NewReaderSize(file, 64<<10)
	for {
		line, whole, err := readLine(in)
		if err != nil {
			return skipped, fmt.Errorf("read audit log: %w", err)
		}
		if len(line) == 0 && !whole {
			return skipped, nil
		}
		r, err := parseRecord(line)
		if err != nil {
			skipped++
			continue
		}
		if err := f(Record{Seq: r.seq, Time: r.time, Node: r.node, Event: r.event, Data: r.data, Line: line}); err != nil {
			return skipped, err
		}
	}
}
