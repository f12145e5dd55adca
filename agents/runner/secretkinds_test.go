package runner

import (
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/quorate/quorate/agents/sealed"
	"github.com/quorate/quorate/agents/subprocess"
)

func TestSecrets_Exec(t *testing.T) {
	t.Parallel()
	l, err := subprocess.New(subprocess.Config{CgroupName: "quorate-secret-test-" + strconv.Itoa(os.Getpid())})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	dir := t.TempDir()
	helper := func(name, text string, mode os.FileMode) []string {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.WriteFile(path, []byte("#!/bin/sh\n"+text+"\n"), 0o600), os.Chmod(path, mode)); err != nil {
			t.Fatal(err)
		}
		return []string{path, "the-argument"}
	}
	s, err := NewSecrets(SecretsConfig{Launcher: l, Exec: map[string][]string{
		"good": helper("good", `echo "got $1"`, 0o755), "fails": helper("fails", "echo hunter2 >&2; exit 3", 0o755),
		"empty": helper("empty", ":", 0o755), "open": helper("open", "echo x", 0o777), "plain": helper("plain", "echo x", 0o644),
		"long": helper("long", "head -c 100000 /dev/zero | tr '\\0' x", 0o755), "gone": {filepath.Join(dir, "none")},
	}})
	if err != nil {
		t.Fatal(err)
	}
	_, secrets, err := s.Resolve(t.Context(), map[string]string{"p": "ref:exec:good"}, nil)
	if err != nil || secrets["p"].Reveal() != "got the-argument" {
		t.Fatalf("Resolve() = %q, %v", secrets["p"].Reveal(), err)
	}
	for name, want := range map[string]string{"fails": "ended with code 3", "empty": "is empty", "open": "chmod o-w", "plain": "chmod +x", "long": "more than 65536 bytes",
		"gone": "not installed", "other": "not named in quorated.toml", "../good": "not named in quorated.toml"} {
		_, _, err := s.Resolve(t.Context(), map[string]string{"p": "ref:exec:" + name}, nil)
		if !errors.Is(err, ErrSecret) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: Resolve() = %v, want an error with %q", name, err, want)
		}
	}
	for _, bad := range [][]string{nil, {"relative"}, {"/a/../b"}} {
		if _, err := NewSecrets(SecretsConfig{Exec: map[string][]string{"x": bad}}); err == nil {
			t.Errorf("NewSecrets() took the helper %q", bad)
		}
	}
}

func TestSecrets_Store(t *testing.T) {
	t.Parallel()
	key, err := sealed.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSecrets(SecretsConfig{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	data, err := sealed.Seal(s.SealKey(), "db", []byte("hunter2"))
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string][]byte{"db": data, "moved": data}
	_, secrets, err := s.Resolve(t.Context(), map[string]string{"p": "ref:store:db"}, stored)
	if err != nil || secrets["p"].Reveal() != "hunter2" {
		t.Fatalf("Resolve() = %q, %v", secrets["p"].Reveal(), err)
	}
	for name, want := range map[string]string{"other": `crm secret set other`, "moved": "under another name", "a b": "not allowed"} {
		if _, _, err := s.Resolve(t.Context(), map[string]string{"p": "ref:store:" + name}, stored); !errors.Is(err, ErrSecret) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: Resolve() = %v, want an error with %q", name, err, want)
		}
	}
	none, err := NewSecrets(SecretsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := none.Resolve(t.Context(), map[string]string{"p": "ref:store:db"}, stored); err == nil || none.SealKey() != nil {
		t.Errorf("without a key: Resolve() = %v", err)
	}
}
