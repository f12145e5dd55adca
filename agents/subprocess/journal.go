package subprocess

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Interrupted is a run that an earlier process did not see the end of.
type Interrupted struct {
	Label    string
	Path     string
	Leftover int // processes that did not die
}

const (
	// maxEntry bounds what is read of a journal file: a mark, a path and a label.
	maxEntry = 16 << 10
	// maxFree bounds the files that are kept open for later runs.
	maxFree = 64
)

// journal holds a file for each run that goes on: its mark, its path and its label, a line each. The files are used
// again: making and removing one costs more than the rest of what a short run needs of the disk. Without a run the mark
// is not there.
type journal struct {
	dir string // "" = nothing is written

	mu   sync.Mutex // guards what follows
	free []*os.File
	made int
}

// enter writes down a run before it starts.
func (j *journal) enter(mark, path, label string) (*os.File, error) {
	if j.dir == "" {
		return nil, nil
	}
	f, err := j.take()
	if err == nil {
		// What an earlier run left behind the third line does not matter.
		if _, err = f.WriteAt([]byte(mark+"\n"+path+"\n"+strings.ReplaceAll(label, "\n", " ")+"\n"), 0); err != nil {
			j.leave(f)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("journal of runs: %w", err)
	}
	return f, nil
}

func (j *journal) take() (*os.File, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if n := len(j.free); n > 0 {
		f := j.free[n-1]
		j.free = j.free[:n-1]
		return f, nil
	}
	for {
		j.made++
		f, err := os.OpenFile(filepath.Join(j.dir, fmt.Sprintf("run-%d", j.made)), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if !errors.Is(err, os.ErrExist) {
			return f, err
		}
	}
}

// leave notes the end of a run.
func (j *journal) leave(f *os.File) {
	if f == nil {
		return
	}
	_, err := f.WriteAt(make([]byte, 2*markBytes), 0)
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil && len(j.free) < maxFree {
		j.free = append(j.free, f)
		return
	}
	// A file that stays is harmless: at the next start nothing with its mark is found.
	_ = os.Remove(f.Name())
	_ = f.Close()
}

// close removes the files that no run has.
func (j *journal) close() {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, f := range j.free {
		_ = os.Remove(f.Name())
		_ = f.Close()
	}
	j.free = nil
}

// Recover ends the runs that an earlier process with the same journal left going on: the operation's whole
// process tree, so that it does not run beside the next operation of its resource. Runs which that process saw
// end, and the services they started, are not touched. Call it before the first run.
func (l *Launcher) Recover() ([]Interrupted, error) {
	if l.journal.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(l.journal.dir)
	if err != nil {
		return nil, fmt.Errorf("journal of runs: %w", err)
	}
	var found []Interrupted
	for _, e := range entries {
		if !e.Type().IsRegular() || !strings.HasPrefix(e.Name(), "run-") {
			continue
		}
		path := filepath.Join(l.journal.dir, e.Name())
		text, err := os.ReadFile(path)
		if err != nil {
			return found, fmt.Errorf("journal of runs: %w", err)
		}
		if mark, run, ok := parseEntry(text); ok {
			l.mu.Lock()
			dir := l.group.dir
			l.mu.Unlock()
			group := ""
			if dir != "" {
				group = dir + "/" + mark
			}
			run.Leftover = l.KillRun(group, mark)
			found = append(found, run)
		}
		if err := os.Remove(path); err != nil {
			return found, fmt.Errorf("journal of runs: %w", err)
		}
	}
	l.SweepGroups()
	return found, nil
}

// parseEntry reads a file of the journal; ok is false where no run has it. One that was cut while it was written is of a
// run that has not begun.
func parseEntry(text []byte) (mark string, run Interrupted, ok bool) {
	lines := strings.SplitN(string(text[:min(len(text), maxEntry)]), "\n", 4)
	if len(lines) < 4 || len(lines[0]) != 2*markBytes || strings.Trim(lines[0], "0123456789abcdef") != "" {
		return "", Interrupted{}, false
	}
	return lines[0], Interrupted{Path: lines[1], Label: lines[2]}, true
}
