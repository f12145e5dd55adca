package raftlog

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/quorate/quorate/crm/store/replica"
)

const killChild = "QUORATE_RAFTLOG_KILL_DIR"

// TestKilledWriter is the child of TestKill: it saves for ever and says what is durable.
func TestKilledWriter(t *testing.T) {
	dir := os.Getenv(killChild)
	if dir == "" {
		t.Skip("runs as the child of TestKill only")
	}
	l, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	hs, _, _ := l.InitialState()
	last, _ := l.LastIndex()
	rng := rand.New(rand.NewPCG(last, 3))
	term := hs.GetTerm() + 1
	commit := hs.GetCommit()
	for {
		s := replica.Save{HardState: hard(term, 17, commit)}
		from, before := last+1, commit
		if last > commit && rng.IntN(5) == 0 {
			from = commit + 1
			term++
			s.HardState = hard(term, 17, commit)
		}
		last = from + uint64(rng.IntN(20))
		s.Entries = entries(from, last, term)
		if rng.IntN(3) == 0 {
			commit = from
			s.HardState = hard(term, 17, commit)
			s.Applied, s.ConfState = commit, voters(17)
		}
		if have, _ := l.Snapshot(); rng.IntN(20) == 0 && s.Applied > 0 && before > have.GetMetadata().GetIndex() {
			snapTerm, err := l.Term(before)
			if err != nil {
				t.Fatal(err)
			}
			s.Snapshot = snapshot(before, snapTerm, strings.Repeat(fmt.Sprint("document at ", before, " "), 2000), 17)
			s.CompactTo = before - min(before, 50)
		}
		if err := l.Save(s); err != nil {
			t.Fatal(err)
		}
		fmt.Printf("durable %d %d %d\n", term, last, commit)
	}
}

// TestKill kills a writing process at arbitrary moments (SIGKILL, so it tests a save that stops in the middle, not the loss of the page
// cache) and checks that the log opens and holds at least what was said to be durable.
func TestKill(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "raft")
	l := mustCreate(t, dir, founding(), Options{})
	l.Close()
	rng := rand.New(rand.NewPCG(26, 4))
	for round := range 12 {
		out, in, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		child, err := os.StartProcess(os.Args[0], []string{os.Args[0], "-test.run=^TestKilledWriter$"},
			&os.ProcAttr{Env: append(os.Environ(), killChild+"="+dir), Files: []*os.File{nil, in, in}})
		in.Close()
		if err != nil {
			t.Fatal(err)
		}
		var term, last, commit uint64
		lines := bufio.NewScanner(out)
		for stop := 20 + rng.IntN(200); lines.Scan(); {
			if _, err := fmt.Sscanf(lines.Text(), "durable %d %d %d", &term, &last, &commit); err != nil {
				for said := lines.Text(); ; said = lines.Text() {
					t.Errorf("round %d: child says %q", round, said)
					if !lines.Scan() {
						t.FailNow()
					}
				}
			}
			if stop--; stop == 0 {
				child.Kill()
			}
		}
		child.Wait()
		out.Close()
		l, err := Open(dir, Options{})
		if err != nil {
			t.Fatalf("round %d: Open() = %v", round, err)
		}
		hs, _, _ := l.InitialState()
		gotLast, _ := l.LastIndex()
		gotTerm, _ := l.Term(min(last, gotLast))
		if hs.GetTerm() < term || hs.GetCommit() < commit || hs.GetTerm() == term && (gotLast < last || gotTerm > term) {
			t.Errorf("round %d: term %d, commit %d, last %d; durable were term %d, commit %d, last %d", round, hs.GetTerm(), hs.GetCommit(), gotLast, term, commit, last)
		}
		if _, err := dump(l); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		l.Close()
	}
}
