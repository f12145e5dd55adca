package keyring

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func openFolder(t *testing.T) (*Folder, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "keys")
	f, err := OpenFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() })
	return f, path
}

func TestFolder_SaveAndLoad(t *testing.T) {
	t.Parallel()
	f, path := openFolder(t)
	ca := newCA(t, 1)
	n := newNode(t, ca, 7, t0)
	if _, err := f.LoadNode(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("LoadNode() of an empty folder = %v, want fs.ErrNotExist", err)
	}
	if _, err := f.LoadCA(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("LoadCA() of an empty folder = %v, want fs.ErrNotExist", err)
	}
	if err := f.SaveNode(n); err != nil {
		t.Fatal(err)
	}
	if err := f.SaveCA(ca); err != nil {
		t.Fatal(err)
	}
	got, err := f.LoadNode()
	if err != nil {
		t.Fatal(err)
	}
	if got.Cluster != n.Cluster || got.ID != 7 || !got.Key.Equal(n.Key) || !bytes.Equal(got.Client, n.Client) {
		t.Fatalf("LoadNode() = %v %v, want what was saved", got.Cluster, got.ID)
	}
	back, err := f.LoadCA()
	if err != nil || !back.Key().Equal(ca.Key()) || back.Cluster() != ca.Cluster() {
		t.Fatalf("LoadCA() = %v, %v, want what was saved", back, err)
	}
	entries, err := os.ReadDir(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != 5 {
		t.Fatalf("the folder has %d files, want 5", len(entries))
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode() != keyMode {
			t.Errorf("%s has mode %v, want %v", e.Name(), info.Mode(), fs.FileMode(keyMode))
		}
	}
	if err := f.Remove(FileCAKey); err != nil {
		t.Fatal(err)
	}
	if err := f.Remove(FileCAKey); err != nil {
		t.Fatalf("Remove() of a file that is gone = %v, want nil", err)
	}
	if _, err := f.LoadCA(); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("LoadCA() after Remove() = %v, want fs.ErrNotExist", err)
	}
}

// Each file with each mode that is too open, and each wrong kind of file, is refused by name.
func TestFolder_TooOpen(t *testing.T) {
	t.Parallel()
	f, path := openFolder(t)
	ca := newCA(t, 1)
	if err := f.SaveNode(newNode(t, ca, 7, t0)); err != nil {
		t.Fatal(err)
	}
	if err := f.SaveCA(ca); err != nil {
		t.Fatal(err)
	}
	load := func() error {
		if _, err := f.LoadNode(); err != nil {
			return err
		}
		_, err := f.LoadCA()
		return err
	}
	refused := func(t *testing.T, name string, err error) {
		t.Helper()
		var pe *PermissionError
		if !errors.As(err, &pe) || pe.Path != filepath.Join(path, name) {
			t.Fatalf("load with a bad %s = %v, want a PermissionError that names it", name, err)
		}
	}
	for _, name := range []string{FileKey, FileCAKey, FileCAs, FileServer, FileClient} {
		for _, mode := range []fs.FileMode{0o604, 0o640, 0o602, 0o620, 0o666, 0o777, 0o601} {
			if err := os.Chmod(filepath.Join(path, name), mode); err != nil {
				t.Fatal(err)
			}
			err := load()
			if isKey := strings.HasSuffix(name, ".key"); !isKey && mode&0o022 == 0 {
				if err != nil {
					t.Fatalf("load with mode %v of %s, which is public, = %v", mode, name, err)
				}
				continue
			}
			refused(t, name, err)
		}
		if err := os.Chmod(filepath.Join(path, name), keyMode); err != nil {
			t.Fatal(err)
		}
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(path, FileKey)
	if err := os.Rename(key, key+".away"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(FileKey+".away", key); err != nil {
		t.Fatal(err)
	}
	refused(t, FileKey, load())
	_ = os.Remove(key)
	if err := os.Mkdir(key, 0o700); err != nil {
		t.Fatal(err)
	}
	refused(t, FileKey, load())
	_ = os.Remove(key)
	if err := syscall.Mkfifo(key, 0o600); err != nil {
		t.Fatal(err)
	}
	refused(t, FileKey, load())
	_ = os.Remove(key)
	if err := os.Rename(key+".away", key); err != nil {
		t.Fatal(err)
	}
	t.Run("owner", func(t *testing.T) {
		f.uid++
		defer func() { f.uid-- }()
		refused(t, FileKey, load())
	})
}

func TestOpenFolder_Refusals(t *testing.T) {
	t.Parallel()
	base := t.TempDir()
	for _, mode := range []fs.FileMode{0o701, 0o710, 0o750, 0o755, 0o777} {
		p := filepath.Join(base, "open"+mode.String())
		if err := os.Mkdir(p, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(p, mode); err != nil {
			t.Fatal(err)
		}
		var pe *PermissionError
		if f, err := OpenFolder(p); !errors.As(err, &pe) || !strings.Contains(err.Error(), "must be 0700") {
			t.Errorf("OpenFolder() of mode %v = %v, %v, want a PermissionError", mode, f, err)
		}
	}
	file := filepath.Join(base, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenFolder(file); err == nil {
		t.Error("OpenFolder() of a file succeeded")
	}
	real := filepath.Join(base, "real")
	if err := os.Mkdir(real, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(real, filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	var pe *PermissionError
	if _, err := OpenFolder(filepath.Join(base, "link")); !errors.As(err, &pe) {
		t.Errorf("OpenFolder() of a link = %v, want a PermissionError", err)
	}
	if _, err := OpenFolder(filepath.Join(base, "no", "parent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("OpenFolder() without a parent = %v, want fs.ErrNotExist", err)
	}
}

func TestFolder_BadContent(t *testing.T) {
	t.Parallel()
	f, path := openFolder(t)
	ca := newCA(t, 1)
	n := newNode(t, ca, 7, t0)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), random(5))
	if err != nil {
		t.Fatal(err)
	}
	reset := func() {
		if err := f.SaveNode(n); err != nil {
			t.Fatal(err)
		}
		if err := f.SaveCA(ca); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	load := func() error {
		if _, err := f.LoadNode(); err != nil {
			return err
		}
		_, err := f.LoadCA()
		return err
	}
	for _, tc := range []struct {
		name  string
		spoil func()
		want  string
	}{
		{"empty key", func() { must(f.Write(FileKey, nil)) }, "node.key is empty"},
		{"blank key", func() { must(f.Write(FileKey, []byte("\n\n"))) }, "node.key is empty"},
		{"huge", func() { must(f.Write(FileKey, make([]byte, maxFile+1))) }, "more than 65536 bytes"},
		{"text", func() { must(f.Write(FileKey, []byte("hello"))) }, "block 1 is not PEM"},
		{"certificate as key", func() { must(f.WriteCertificates(FileKey, n.Client)) }, `block 1 is "CERTIFICATE"`},
		{"key as certificate", func() { must(f.WriteKey(FileClient, n.Key)) }, `block 1 is "PRIVATE KEY"`},
		{"broken key", func() {
			must(f.Write(FileKey, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")))
		}, "no readable private key"},
		{"other curve", func() { must(f.WriteKey(FileKey, p384)) }, "not ECDSA P-256"},
		{"cut certificate", func() {
			b, err := f.Read(FileServer)
			must(err)
			must(f.Write(FileServer, b[:len(b)/2]))
		}, "not PEM, or is cut off"},
		{"two certificates", func() { must(f.WriteCertificates(FileServer, n.Server, n.Server)) }, "has 2 certificates, must have one"},
		{"two keys", func() {
			b, err := f.Read(FileKey)
			must(err)
			must(f.Write(FileKey, append(b, b...)))
		}, "it has 2 keys"},
		{"key of another node", func() { must(f.WriteKey(FileKey, ca.Key())) }, "key is not the one"},
		{"CA certificate as node's", func() { must(f.WriteCertificates(FileServer, ca.Certificate())) }, "it is a CA's"},
		{"CA key of another CA", func() { must(f.WriteKey(FileCAKey, n.Key)) }, "no certificate in ca.crt belongs to this key"},
	} {
		reset()
		tc.spoil()
		if err := load(); err == nil || !strings.Contains(err.Error(), tc.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: load = %v, want %q and the path", tc.name, err, tc.want)
		}
	}
	bad := newNode(t, ca, 8, t0)
	bad.Server = nil
	if err := f.SaveNode(bad); err == nil {
		t.Error("SaveNode() of a node without certificate succeeded")
	}
}

// A write that fails leaves the old content and no temporary file.
func TestFolder_WriteFails(t *testing.T) {
	t.Parallel()
	f, path := openFolder(t)
	if err := f.Write("x", []byte("old")); err != nil {
		t.Fatal(err)
	}
	broken := errors.New("disk is gone")
	f.sync = func(*os.File) error { return broken }
	if err := f.Write("x", []byte("new")); !errors.Is(err, broken) {
		t.Fatalf("Write() = %v, want %v", err, broken)
	}
	if err := f.Remove("other"); !errors.Is(err, broken) {
		t.Fatalf("Remove() = %v, want %v", err, broken)
	}
	if b, err := f.Read("x"); err != nil || string(b) != "old" {
		t.Fatalf("Read() = %q, %v, want the old content", b, err)
	}
	entries, err := os.ReadDir(path)
	if err != nil || len(entries) != 1 {
		t.Fatalf("the folder has %d files, %v, want 1", len(entries), err)
	}
	// Only the second sync, that of the folder, fails: the new content is there, but it is not promised.
	calls := 0
	f.sync = func(*os.File) error {
		if calls++; calls == 2 {
			return broken
		}
		return nil
	}
	if err := f.Write("x", []byte("new")); !errors.Is(err, broken) {
		t.Fatalf("Write() = %v, want %v", err, broken)
	}
	if err := f.Write("../x", []byte("out")); err == nil {
		t.Fatal("Write() outside of the folder succeeded")
	}
	// A crash between the steps leaves a temporary file; the next start removes it.
	left := filepath.Join(path, tempStart+"x-0011")
	if err := os.WriteFile(left, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	g, err := OpenFolder(path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = g.Close() }()
	if _, err := os.Stat(left); !errors.Is(err, fs.ErrNotExist) {
		t.Fatalf("the left-over file is still there: %v", err)
	}
}
