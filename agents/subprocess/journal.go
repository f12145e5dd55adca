package subprocess

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Interrupted is a run that an earlier process did not see the end of.
type Interrupted struct {
	Label    string
	Path     string
	Leftover int // processes that did not die
}

// maxEntry bounds what is read of a journal file: a path and a label.
const maxEntry = 16 << 10

// enterJournal writes the file of a run, before the run starts.
func (l *Launcher) enterJournal(r *run) error {
	if l.journal == "" {
		return nil
	}
	text := r.spec.Path + "\n" + strings.ReplaceAll(r.spec.Label, "\n", " ") + "\n"
	if err := os.WriteFile(filepath.Join(l.journal, r.mark), []byte(text), 0o600); err != nil {
		return fmt.Errorf("journal of runs: %w", err)
	}
	return nil
}

func (l *Launcher) leaveJournal(r *run) {
	if l.journal != "" {
		// A file that stays is harmless: at the next start nothing with its mark is found.
		_ = os.Remove(filepath.Join(l.journal, r.mark))
	}
}

// Recover ends the runs that an earlier process with the same journal left going on: the operation's whole
// process tree, so that it does not run beside the next operation of its resource. Runs which that process saw
// end, and the services they started, are not touched. Call it before the first run.
func (l *Launcher) Recover() ([]Interrupted, error) {
	if l.journal == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(l.journal)
	if err != nil {
		return nil, fmt.Errorf("journal of runs: %w", err)
	}
	var found []Interrupted
	for _, e := range entries {
		mark := e.Name()
		if len(mark) != 24 || strings.Trim(mark, "0123456789abcdef") != "" || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(l.journal, mark)
		text, err := os.ReadFile(path)
		if err != nil {
			return found, fmt.Errorf("journal of runs: %w", err)
		}
		lines := strings.SplitN(string(text[:min(len(text), maxEntry)]), "\n", 3)
		run := Interrupted{Path: lines[0]}
		if len(lines) > 1 {
			run.Label = lines[1]
		}
		l.mu.Lock()
		dir := l.group.dir
		l.mu.Unlock()
		group := ""
		if dir != "" {
			group = dir + "/" + mark
		}
		run.Leftover = l.KillRun(group, mark)
		found = append(found, run)
		if err := os.Remove(path); err != nil {
			return found, fmt.Errorf("journal of runs: %w", err)
		}
	}
	l.SweepGroups()
	return found, nil
}
