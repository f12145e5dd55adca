package audit

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

var key = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func public(k ed25519.PrivateKey) []ed25519.PublicKey {
	return []ed25519.PublicKey{k.Public().(ed25519.PublicKey)}
}

func open(t *testing.T, cfg Config) *Log {
	t.Helper()
	cfg.Node, cfg.Key, cfg.Boot = "n1", key, "boot"
	l, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func fill(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := range n {
		if _, err := l.Append("agent-run", map[string]any{"n": i, "list": []string{"a", "b\nc"}, "ok": true, "html": "<&>"}, false); err != nil {
			t.Fatal(err)
		}
	}
}

func dir(t *testing.T) string { return filepath.Join(t.TempDir(), "audit") }

func TestAppendAndVerify(t *testing.T) {
	t.Parallel()
	d := dir(t)
	l := open(t, Config{Dir: d, MaxFile: 2000, CheckpointRecords: 7})
	fill(t, l, 50)
	head, err := l.Append("config-write", nil, true)
	if err != nil || head != l.Head() {
		t.Fatalf("Append() = %v, %v, Head() = %v", head, err, l.Head())
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	l = open(t, Config{Dir: d, MaxFile: 2000, CheckpointRecords: 7})
	fill(t, l, 5)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	r, err := Verify(d, Expect{Keys: public(key), Node: "n1", Heads: []Head{head}})
	if err != nil {
		t.Fatal(err)
	}
	// 56 events, a checkpoint after each 7 records (the checkpoint begins the next count), one at each Close.
	if r.Records != r.Last.Seq || r.First.Seq != 1 || r.Records-r.Checkpoints != 56 || r.Signed != r.Last.Seq || r.Files < 5 || r.Recovered != 0 {
		t.Errorf("Verify() = %+v", r)
	}
	for _, name := range mustNames(t, d) {
		if info, err := os.Stat(filepath.Join(d, name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v, want mode 0600", name, info.Mode(), err)
		}
	}
}

func mustNames(t *testing.T, d string) []string {
	t.Helper()
	names, err := fileNames(d)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// The format is documented to the byte, so one record stands here as it must be.
func TestFormat(t *testing.T) {
	t.Parallel()
	d := dir(t)
	l := open(t, Config{Dir: d, Now: func() time.Time { return time.Date(2026, 1, 2, 3, 4, 5, 6, time.FixedZone("", 3600)) }, Mono: func() time.Duration { return 42 }})
	if _, err := l.Append("agent-run", map[string]any{"b": "x\n\"<\xff", "a": uint64(1 << 63), "c": []any{true, "y"}}, true); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(d, "audit-00000000000000000001.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	bare := `{"boot":"boot","data":{"a":9223372036854775808,"b":"x\n\"<` + "\uFFFD" + `","c":[true,"y"]},"event":"agent-run",` +
		`"mono":42,"node":"n1","prev":"` + zeroHash + `","seq":1,"ts":"2026-01-02T02:04:05.000000006Z","v":1}`
	want := strings.Replace(bare, `"mono"`, `"hash":"`+lineHash([]byte(bare))+`","mono"`, 1) + "\n"
	if string(text) != want {
		t.Errorf("line =\n%s\nwant\n%s", text, want)
	}
}

func wantBad(t *testing.T, what string, d string, expect Expect, seq uint64) {
	t.Helper()
	_, err := Verify(d, expect)
	var bad *BadRecord
	if !errors.As(err, &bad) || bad.Seq != seq {
		t.Errorf("%s: Verify() = %v, want record %d", what, err, seq)
	}
}

// Every record is deleted, swapped with its neighbour, doubled, edited and cut in turn.
func TestVerify_NamesTheFirstBadRecord(t *testing.T) {
	t.Parallel()
	d := dir(t)
	l := open(t, Config{Dir: d, CheckpointRecords: 5, MaxFile: 4000})
	fill(t, l, 25)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	head := l.Head()
	expect := Expect{Keys: public(key), Heads: []Head{head}}
	if _, err := Verify(d, expect); err != nil {
		t.Fatal(err)
	}
	names := mustNames(t, d)
	if len(names) < 3 {
		t.Fatalf("files = %v, want several", names)
	}
	for _, name := range names {
		path := filepath.Join(d, name)
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		first, _ := firstSeq(name)
		lines := bytes.SplitAfter(bytes.TrimSuffix(good, []byte("\n")), []byte("\n"))
		lines[len(lines)-1] = append(bytes.Clone(lines[len(lines)-1]), '\n')
		try := func(what string, seq uint64, changed ...[]byte) {
			t.Helper()
			if err := os.WriteFile(path, bytes.Join(changed, nil), 0o600); err != nil {
				t.Fatal(err)
			}
			wantBad(t, fmt.Sprintf("%s %d in %s", what, seq, name), d, expect, seq)
		}
		for i, line := range lines {
			seq := first + uint64(i)
			before, after := bytes.Join(lines[:i], nil), bytes.Join(lines[i+1:], nil)
			try("delete", seq, before, after)
			try("double", seq+1, before, line, line, after)
			if i+1 < len(lines) {
				try("swap", seq, before, lines[i+1], line, bytes.Join(lines[i+2:], nil))
			}
			try("cut off from", seq, before)
			try("cut off in", seq, before, line[:len(line)/2])
			try("cut newline of", seq, before, line[:len(line)-1])
			try("shorten", seq, before, line[:len(line)/2], []byte("\n"), after)
			try("edit", seq, before, bytes.Replace(line, []byte(`"n1"`), []byte(`"n2"`), 1), after)
			try("white space in", seq, before, bytes.Replace(line, []byte(`:`), []byte(`: `), 1), after)
			flipped := bytes.Clone(line)
			flipped[len(line)/3] ^= 1
			try("flip a bit of", seq, before, flipped, after)
			// A forger who computes the hash again breaks the chain at the next record, or at the known head.
			forged := forge(t, line)
			at := seq + 1
			if seq == head.Seq {
				at = seq
			}
			if bytes.Contains(line, []byte(`"checkpoint"`)) {
				at = seq
			}
			try2 := func() {
				if err := os.WriteFile(path, bytes.Join([][]byte{before, forged, after}, nil), 0o600); err != nil {
					t.Fatal(err)
				}
				wantBad(t, fmt.Sprintf("forge %d", seq), d, expect, at)
			}
			try2()
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		moved := path + ".moved"
		if err := os.Rename(path, moved); err != nil {
			t.Fatal(err)
		}
		wantBad(t, "remove "+name, d, expect, first)
		if err := os.Rename(moved, path); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Verify(d, expect); err != nil {
		t.Errorf("Verify() of what was put back = %v", err)
	}
	if _, err := Verify(d, Expect{Keys: public(ed25519.NewKeyFromSeed(make([]byte, 32)))}); err == nil {
		t.Error("Verify() with another key passes")
	}
	if _, err := Verify(d, Expect{Node: "n2"}); err == nil {
		t.Error("Verify() as another node passes")
	}
	if err := os.Remove(filepath.Join(d, names[0])); err != nil {
		t.Fatal(err)
	}
	wantBad(t, "pruned", d, expect, 1)
	if _, err := Verify(d, Expect{Pruned: true, Heads: []Head{head}}); err != nil {
		t.Errorf("Verify() of a log pruned on purpose = %v", err)
	}
}

// forge changes a record and gives it a right hash (and keeps an old signature).
func forge(t *testing.T, line []byte) []byte {
	t.Helper()
	text := string(bytes.TrimSuffix(line, []byte("\n")))
	i := strings.Index(text, `"hash":"`)
	bare := text[:i] + text[i+len(`"hash":"`)+64+2:]
	if strings.Contains(bare, `"signature":"`) {
		j := strings.Index(bare, `"signature":"`) + len(`"signature":"`)
		digit := "0"
		if bare[j] == '0' {
			digit = "1"
		}
		bare = bare[:j] + digit + bare[j+1:]
	} else {
		bare = strings.Replace(bare, `"ok":true`, `"ok":false`, 1)
	}
	i = strings.Index(bare, `"mono":`)
	forged := bare[:i] + `"hash":"` + lineHash([]byte(bare)) + `",` + bare[i:] + "\n"
	if _, err := parseRecord([]byte(strings.TrimSuffix(forged, "\n"))); err != nil || forged == string(line) {
		t.Fatalf("the forged record is not a record, or the same: %v", err)
	}
	return []byte(forged)
}

// A crash may cut the newest file anywhere. Whatever is left, the log opens, goes on, and verifies.
func TestOpen_RecoversATornTailAtEachByte(t *testing.T) {
	t.Parallel()
	d := dir(t)
	l := open(t, Config{Dir: d, MaxFile: 900})
	fill(t, l, 4)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	names := mustNames(t, d)
	last := filepath.Join(d, names[len(names)-1])
	good, err := os.ReadFile(last)
	if err != nil {
		t.Fatal(err)
	}
	before := map[string][]byte{}
	for _, n := range names[:len(names)-1] {
		before[n], _ = os.ReadFile(filepath.Join(d, n))
	}
	for cut := range len(good) + 1 {
		for _, garbage := range []string{"", "\x00\x00\x00\n\x00", "{}\n"} {
			if garbage != "" && cut%9 != 0 {
				continue // the position matters less there
			}
			d := dir(t)
			if err := os.MkdirAll(d, 0o700); err != nil {
				t.Fatal(err)
			}
			for n, text := range before {
				if err := os.WriteFile(filepath.Join(d, n), text, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.WriteFile(filepath.Join(d, filepath.Base(last)), append(bytes.Clone(good[:cut]), garbage...), 0o600); err != nil {
				t.Fatal(err)
			}
			for range 2 { // the second time there is nothing to recover
				l := open(t, Config{Dir: d})
				fill(t, l, 1)
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			r, err := Verify(d, Expect{Keys: public(key)})
			// A record that lacks its newline only is no torn tail.
			torn := cut > 0 && good[cut-1] != '\n' && (cut == len(good) || good[cut] != '\n') || garbage != ""
			want := 0
			if torn {
				want = 1
			}
			if err != nil || r.Recovered != want {
				t.Fatalf("cut at %d of %d with %q: Verify() = %+v, %v, want %d recovered", cut, len(good), garbage, r, err, want)
			}
		}
		if testing.Short() && cut > 200 {
			break
		}
	}
}

// A recovered record must explain exactly the bytes that are there.
func TestVerify_RecoveredIsNoLicence(t *testing.T) {
	t.Parallel()
	d := dir(t)
	l := open(t, Config{Dir: d})
	fill(t, l, 3)
	_ = l.Close()
	path := filepath.Join(d, mustNames(t, d)[0])
	f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"torn`)
	f.Close()
	l = open(t, Config{Dir: d})
	fill(t, l, 1)
	_ = l.Close()
	if r, err := Verify(d, Expect{}); err != nil || r.Recovered != 1 {
		t.Fatalf("Verify() = %+v, %v", r, err)
	}
	good, _ := os.ReadFile(path)
	for what, changed := range map[string]string{
		"other bytes":  strings.Replace(string(good), `{"torn`, `{"tarn`, 1),
		"more bytes":   strings.Replace(string(good), `{"torn`, `{"torn{`, 1),
		"fewer bytes":  strings.Replace(string(good), `{"torn`, `{"tor`, 1),
		"no bytes":     strings.Replace(string(good), "{\"torn\n", "", 1),
		"bytes before": strings.Replace(string(good), "\n", "\nx\n", 1),
	} {
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(d, Expect{}); err == nil {
			t.Errorf("%s: Verify() passes", what)
		}
	}
}

func TestOpen_Refused(t *testing.T) {
	t.Parallel()
	good := func(d string) Config { return Config{Dir: d, Node: "n1", Key: key, Boot: "b"} }
	for what, change := range map[string]func(*Config){
		"relative": func(c *Config) { c.Dir = "audit" },
		"no node":  func(c *Config) { c.Node = "" },
		"no key":   func(c *Config) { c.Key = nil },
		"negative": func(c *Config) { c.MaxFile = -1 },
		"too open": func(c *Config) { _ = os.MkdirAll(c.Dir, 0o700); _ = os.Chmod(c.Dir, 0o750) },
		"a file":   func(c *Config) { _ = os.WriteFile(c.Dir, nil, 0o600) },
		"lock is a link": func(c *Config) {
			_ = os.MkdirAll(c.Dir, 0o700)
			_ = os.Symlink("/tmp/x", filepath.Join(c.Dir, "lock"))
		},
	} {
		cfg := good(dir(t))
		change(&cfg)
		if l, err := Open(cfg); err == nil {
			t.Errorf("%s: Open() passes", what)
			_ = l.Close()
		}
	}
	d := dir(t)
	l := open(t, Config{Dir: d})
	if _, err := Open(good(d)); !errors.Is(err, ErrLocked) {
		t.Errorf("second writer: Open() = %v, want ErrLocked", err)
	}
	if _, err := Verify(d, Expect{}); err != nil {
		t.Errorf("Verify() of an open log = %v", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err := Open(good(d)); err != nil {
		t.Errorf("after Close: Open() = %v", err)
	} else {
		_ = l.Close()
	}
}

func TestOpen_Damage(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(lines []string) []string{
		"edited in the middle": func(l []string) []string { l[2] = strings.Replace(l[2], `"n":2`, `"n":9`, 1); return l },
		"deleted":              func(l []string) []string { return append(l[:2:2], l[3:]...) },
	} {
		d := dir(t)
		l := open(t, Config{Dir: d})
		fill(t, l, 6)
		_ = l.Close()
		path := filepath.Join(d, mustNames(t, d)[0])
		text, _ := os.ReadFile(path)
		changed := strings.Join(change(strings.SplitAfter(string(text), "\n")), "")
		if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
			t.Fatal(err)
		}
		cfg := Config{Dir: d, Node: "n1", Key: key, Boot: "b"}
		var bad *BadRecord
		if _, err := Open(cfg); !errors.As(err, &bad) || bad.Seq != 3 {
			t.Errorf("%s: Open() = %v, want record 3", what, err)
		}
		cfg.AcceptDamage = true
		l2, err := Open(cfg)
		if err != nil {
			t.Fatalf("%s: Open() accepting damage = %v", what, err)
		}
		fill(t, l2, 2)
		_ = l2.Close()
		wantBad(t, what, d, Expect{}, 3)
		text, _ = os.ReadFile(path)
		if !strings.Contains(string(text), `"event":"damaged"`) {
			t.Errorf("%s: no record says so", what)
		}
	}
}

func TestAppend_Refused(t *testing.T) {
	t.Parallel()
	d := dir(t)
	l := open(t, Config{Dir: d})
	deep := any("x")
	for range MaxDepth + 2 {
		deep = []any{deep}
	}
	for what, call := range map[string]func() (Head, error){
		"float":      func() (Head, error) { return l.Append("x", map[string]any{"a": 1.5}, true) },
		"nil value":  func() (Head, error) { return l.Append("x", map[string]any{"a": nil}, true) },
		"struct":     func() (Head, error) { return l.Append("x", map[string]any{"a": struct{}{}}, true) },
		"deep":       func() (Head, error) { return l.Append("x", map[string]any{"a": deep}, true) },
		"huge":       func() (Head, error) { return l.Append("x", map[string]any{"a": strings.Repeat("x", MaxRecord)}, true) },
		"own event":  func() (Head, error) { return l.Append(EventRecovered, nil, true) },
		"bad event":  func() (Head, error) { return l.Append("a b", nil, true) },
		"no event":   func() (Head, error) { return l.Append("", nil, true) },
		"checkpoint": func() (Head, error) { return l.Append(EventCheckpoint, nil, true) },
	} {
		if h, err := call(); !errors.Is(err, ErrRecord) {
			t.Errorf("%s: Append() = %v, %v, want ErrRecord", what, h, err)
		}
	}
	if l.Head().Seq != 0 {
		t.Errorf("Head() = %v, want none", l.Head())
	}
	_ = l.Close()
	if _, err := l.Append("x", nil, false); !errors.Is(err, ErrClosed) {
		t.Errorf("Append() after Close = %v, want ErrClosed", err)
	}
}

// faulty fails writes after some bytes, and syncs.
type faulty struct {
	file
	room    int // bytes that still fit; -1 = any number
	syncErr error
}

func (f *faulty) Write(p []byte) (int, error) {
	if f.room < 0 || len(p) <= f.room {
		if f.room >= 0 {
			f.room -= len(p)
		}
		return f.file.Write(p)
	}
	n, err := f.file.Write(p[:f.room])
	f.room = 0
	return n, errors.Join(err, unix.ENOSPC)
}

func (f *faulty) Sync() error { return errors.Join(f.syncErr, f.file.Sync()) }

func TestAppend_DiskFull(t *testing.T) {
	t.Parallel()
	for room := 0; room < 500; room += 7 {
		d := dir(t)
		l := open(t, Config{Dir: d})
		fill(t, l, 2)
		f := &faulty{file: l.file, room: room}
		l.file = f
		var last error
		for range 4 {
			_, last = l.Append("config-write", map[string]any{"text": strings.Repeat("x", 300)}, true)
		}
		if !errors.Is(last, unix.ENOSPC) {
			t.Fatalf("room %d: Append() = %v, want no space", room, last)
		}
		_ = l.Checkpoint()
		f.room = -1
		head, err := l.Append("config-write", nil, true)
		if err != nil {
			t.Fatalf("room %d: Append() with space = %v", room, err)
		}
		_ = l.Close()
		if _, err := Verify(d, Expect{Heads: []Head{head}}); err != nil {
			t.Fatalf("room %d: Verify() = %v", room, err)
		}
	}
}

func TestAppend_SyncFails(t *testing.T) {
	t.Parallel()
	l := open(t, Config{Dir: dir(t)})
	f := &faulty{file: l.file, room: -1, syncErr: io.ErrUnexpectedEOF}
	l.file = f
	if _, err := l.Append("x", nil, true); !errors.Is(err, ErrBroken) || !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("Append() = %v, want ErrBroken", err)
	}
	f.syncErr = nil
	if _, err := l.Append("x", nil, true); !errors.Is(err, ErrBroken) {
		t.Errorf("Append() later = %v, want ErrBroken still", err)
	}
	if l.Head().Seq != 0 {
		t.Errorf("Head() = %v, want none on disk", l.Head())
	}
}

func TestAppend_ManyAtOnce(t *testing.T) {
	t.Parallel()
	d := dir(t)
	l := open(t, Config{Dir: d, MaxFile: 5000, CheckpointRecords: 10})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- l.Run(ctx) }()
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 50 {
				h, err := l.Append("agent-run", map[string]any{"g": g, "i": i}, i%5 == 0)
				if err != nil {
					t.Error(err)
				}
				if i%5 == 0 && l.Head().Seq < h.Seq {
					t.Errorf("record %d was acknowledged but the head is %d", h.Seq, l.Head().Seq)
				}
			}
		})
	}
	wg.Wait()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	_ = l.Close()
	r, err := Verify(d, Expect{Keys: public(key)})
	if err != nil || r.Records-r.Checkpoints != 400 {
		t.Errorf("Verify() = %+v, %v, want 400 events", r, err)
	}
}

func TestRun_SyncsAndSigns(t *testing.T) {
	d := dir(t)
	synctest.Test(t, func(t *testing.T) {
		l, err := Open(Config{Dir: d, Node: "n1", Key: key, Boot: "b"})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- l.Run(ctx) }()
		if _, err := l.Append("x", nil, false); err != nil {
			t.Fatal(err)
		}
		time.Sleep(SyncInterval - 1)
		synctest.Wait()
		if l.Head().Seq != 0 {
			t.Error("synced too early")
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if l.Head().Seq != 1 {
			t.Errorf("Head() = %v after %v, want record 1", l.Head(), SyncInterval)
		}
		time.Sleep(CheckpointInterval)
		synctest.Wait()
		if l.Head().Seq != 2 {
			t.Errorf("Head() = %v after %v, want the checkpoint", l.Head(), CheckpointInterval)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if l.Head().Seq != 2 {
			t.Errorf("Head() = %v after an idle hour, want no more records", l.Head())
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = l.Close()
	})
}

// The process is killed in the middle of many writes. What it was told to be on disk must be there, and the log must go on.
func TestKill(t *testing.T) {
	if d := os.Getenv("QUORATE_AUDIT_KILL"); d != "" {
		killed(d)
		return
	}
	t.Parallel()
	d := dir(t)
	rounds := 8
	for range rounds {
		cmd := exec.Command(os.Args[0], "-test.run=^TestKill$")
		cmd.Env = append(os.Environ(), "QUORATE_AUDIT_KILL="+d)
		cmd.Stderr = os.Stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(out)
		var last Head
		for n := rand.IntN(400) + 1; n > 0 && in.Scan(); n-- {
			last = parseHead(t, in.Text())
		}
		_ = cmd.Process.Kill()
		for in.Scan() {
			if strings.HasSuffix(in.Text(), ".") { // whole lines only
				last = parseHead(t, in.Text())
			}
		}
		_ = cmd.Wait()
		l := open(t, Config{Dir: d, MaxFile: 64 << 10})
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		r, err := Verify(d, Expect{Keys: public(key), Heads: []Head{last}})
		if err != nil {
			t.Fatalf("after the kill at record %d: %v", last.Seq, err)
		}
		if last.Seq == 0 || r.Last.Seq < last.Seq {
			t.Fatalf("acknowledged up to %d, found up to %d", last.Seq, r.Last.Seq)
		}
	}
}

func parseHead(t *testing.T, line string) Head {
	t.Helper()
	seq, hash, _ := strings.Cut(strings.TrimSuffix(line, "."), " ")
	n, err := strconv.ParseUint(seq, 10, 64)
	if err != nil {
		t.Fatalf("the writer said %q", line)
	}
	return Head{"n1", n, hash}
}

func killed(d string) {
	l, err := Open(Config{Dir: d, Node: "n1", Key: key, MaxFile: 64 << 10, CheckpointRecords: 100})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for i := range 10000 {
		h, err := l.Append("agent-run", map[string]any{"i": i, "fill": strings.Repeat("x", i%300)}, i%3 == 0)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if i%3 == 0 {
			fmt.Printf("%d %s.\n", h.Seq, h.Hash)
		}
	}
	time.Sleep(time.Minute) // until it is killed
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte(`{"boot":"b","data":{},"event":"x","hash":"0","mono":1,"node":"n","prev":"0","seq":1,"ts":"","v":1}`))
	f.Add([]byte(`{"seq":1e3}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		r, err := parseRecord(line)
		if err == nil && (r.seq == 0 || r.data == nil) {
			t.Fatalf("parseRecord() = %+v", r)
		}
		r.number("x")
	})
}
