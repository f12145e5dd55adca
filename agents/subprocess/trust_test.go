package subprocess

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func agentDir(t *testing.T) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	must(t, os.MkdirAll(filepath.Join(dir, "root", "heartbeat"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "root", "heartbeat", "Good"), []byte("#!/bin/sh\n"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "outside"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "outside", "Evil"), []byte("#!/bin/sh\n"), 0o755))
	return dir
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func find(t *testing.T, dir string, pins map[string]string, elements ...string) (Program, error) {
	t.Helper()
	d, err := NewDirectory(filepath.Join(dir, "root"), CurrentOwner(), pins)
	must(t, err)
	return d.Find(elements...)
}

func TestFind(t *testing.T) {
	t.Parallel()
	dir := agentDir(t)
	sum := sha256.Sum256([]byte("#!/bin/sh\n"))
	want := Program{filepath.Join(dir, "root/heartbeat/Good"), hex.EncodeToString(sum[:])}
	if p, err := find(t, dir, map[string]string{"heartbeat/Good": want.SHA256}, "heartbeat", "Good"); err != nil || p != want {
		t.Errorf("Find() = %v, %v, want %v", p, err, want)
	}
	// Links that stay inside are followed, and keep the name under which the program is called.
	must(t, os.Symlink("../heartbeat/Good", filepath.Join(dir, "root/heartbeat/Link")))
	must(t, os.Symlink(filepath.Join(dir, "root/heartbeat/Link"), filepath.Join(dir, "root/heartbeat/Abs")))
	for _, name := range []string{"Link", "Abs"} {
		if p, err := find(t, dir, nil, "heartbeat", name); err != nil || filepath.Base(p.Path) != name || p.SHA256 != want.SHA256 {
			t.Errorf("Find(%s) = %v, %v", name, p, err)
		}
	}
}

func TestFind_Refused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		change func(t *testing.T, dir string)
		find   []string
		want   error
		text   string
	}{
		{"missing", nil, []string{"heartbeat", "No"}, ErrNotFound, "No"},
		{"missing provider", nil, []string{"nobody", "Good"}, ErrNotFound, "nobody"},
		{"file as provider", nil, []string{"heartbeat", "Good", "x"}, ErrNotFound, ""},
		{"dots", nil, []string{"..", "Evil"}, ErrRefused, "plain"},
		{"separator", nil, []string{"heartbeat", "../../outside/Evil"}, ErrRefused, "plain"},
		{"empty", nil, []string{"heartbeat", ""}, ErrRefused, "plain"},
		{"directory", func(t *testing.T, d string) { must(t, os.Mkdir(d+"/root/heartbeat/Dir", 0o755)) }, []string{"heartbeat", "Dir"}, ErrRefused, "regular"},
		{"not executable", func(t *testing.T, d string) { must(t, os.Chmod(d+"/root/heartbeat/Good", 0o644)) }, []string{"heartbeat", "Good"}, ErrRefused, "chmod +x"},
		{"writable by others", func(t *testing.T, d string) { must(t, os.Chmod(d+"/root/heartbeat/Good", 0o757)) }, []string{"heartbeat", "Good"}, ErrRefused, "o-w"},
		{"provider writable by others", func(t *testing.T, d string) { must(t, os.Chmod(d+"/root/heartbeat", 0o777)) }, []string{"heartbeat", "Good"}, ErrRefused, "o-w"},
		{"sticky does not help below", func(t *testing.T, d string) { must(t, os.Chmod(d+"/root/heartbeat", 0o777|os.ModeSticky)) }, []string{"heartbeat", "Good"}, ErrRefused, "o-w"},
		{"root writable by others", func(t *testing.T, d string) { must(t, os.Chmod(d+"/root", 0o777)) }, []string{"heartbeat", "Good"}, ErrRefused, "o-w"},
		{"above writable by others", func(t *testing.T, d string) { must(t, os.Chmod(d, 0o777)) }, []string{"heartbeat", "Good"}, ErrRefused, "o-w"},
		{"setuid", func(t *testing.T, d string) { must(t, os.Chmod(d+"/root/heartbeat/Good", 0o755|os.ModeSetuid)) }, []string{"heartbeat", "Good"}, ErrRefused, "setuid"},
		{"link out", func(t *testing.T, d string) { must(t, os.Symlink("../../outside/Evil", d+"/root/heartbeat/L")) }, []string{"heartbeat", "L"}, ErrRefused, "out of"},
		{"absolute link out", func(t *testing.T, d string) { must(t, os.Symlink(d+"/outside/Evil", d+"/root/heartbeat/L")) }, []string{"heartbeat", "L"}, ErrRefused, "out of"},
		{"provider link out", func(t *testing.T, d string) { must(t, os.Symlink("../outside", d+"/root/p")) }, []string{"p", "Evil"}, ErrRefused, "out of"},
		{"link to itself", func(t *testing.T, d string) { must(t, os.Symlink("L", d+"/root/heartbeat/L")) }, []string{"heartbeat", "L"}, ErrRefused, "symbolic links"},
		{"dangling link", func(t *testing.T, d string) { must(t, os.Symlink("none", d+"/root/heartbeat/L")) }, []string{"heartbeat", "L"}, ErrNotFound, "none"},
		{"link through a writable directory", func(t *testing.T, d string) {
			must(t, os.Mkdir(d+"/root/open", 0o755))
			must(t, os.WriteFile(d+"/root/open/X", nil, 0o755))
			must(t, os.Chmod(d+"/root/open", 0o777))
			must(t, os.Symlink("../open/X", d+"/root/heartbeat/L"))
		}, []string{"heartbeat", "L"}, ErrRefused, "o-w"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := agentDir(t)
			if tt.change != nil {
				tt.change(t, dir)
			}
			if p, err := find(t, dir, nil, tt.find...); !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
				t.Errorf("Find(%v) = %v, %v, want %v with %q", tt.find, p, err, tt.want, tt.text)
			}
		})
	}
}

func TestFind_GroupAndOwner(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("needs root to give files away")
	}
	dir := agentDir(t)
	file := filepath.Join(dir, "root/heartbeat/Good")
	must(t, os.Chmod(file, 0o775))
	if _, err := find(t, dir, nil, "heartbeat", "Good"); !errors.Is(err, ErrRefused) {
		t.Errorf("Find() of a file that a group may write = %v, want refused", err)
	}
	must(t, os.Chmod(file, 0o755))
	must(t, os.Chown(file, 12345, 12345))
	if _, err := find(t, dir, nil, "heartbeat", "Good"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "12345") {
		t.Errorf("Find() of another user's file = %v, want refused", err)
	}
	// Without root the own user's files count as root's, and so do those of the private group.
	must(t, os.Chmod(file, 0o775))
	d, err := NewDirectory(filepath.Join(dir, "root"), Owner{UID: 12345}, nil)
	must(t, err)
	if _, err := d.Find("heartbeat", "Good"); err != nil {
		t.Errorf("Find() as that user = %v, want nil", err)
	}
	must(t, os.Chown(file, 12345, 100))
	if _, err := d.Find("heartbeat", "Good"); !errors.Is(err, ErrRefused) {
		t.Errorf("Find() with another group = %v, want refused", err)
	}
}

func TestFind_PinAndChange(t *testing.T) {
	t.Parallel()
	dir := agentDir(t)
	file := filepath.Join(dir, "root/heartbeat/Good")
	first, err := find(t, dir, nil, "heartbeat", "Good")
	must(t, err)
	d, err := NewDirectory(filepath.Join(dir, "root"), CurrentOwner(), map[string]string{"heartbeat/Good": first.SHA256})
	must(t, err)
	if _, err := d.Find("heartbeat", "Good"); err != nil {
		t.Fatalf("Find() of the pinned file = %v", err)
	}
	// The same size and modification time: the change must be seen all the same.
	info, err := os.Stat(file)
	must(t, err)
	must(t, os.WriteFile(file, []byte("#!/bin/sx\n"), 0o755))
	must(t, os.Chtimes(file, time.Now(), info.ModTime()))
	if _, err := d.Find("heartbeat", "Good"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "pinned") {
		t.Errorf("Find() of the changed file = %v, want refused by its pin", err)
	}
}

func TestNewDirectory_Refused(t *testing.T) {
	t.Parallel()
	if _, err := NewDirectory("relative", CurrentOwner(), nil); err == nil {
		t.Error("a relative directory is taken")
	}
	for _, pin := range []string{"", "abc", strings.Repeat("g", 64), strings.Repeat("A", 64)} {
		if _, err := NewDirectory("/x", CurrentOwner(), map[string]string{"a": pin}); err == nil {
			t.Errorf("pin %q is taken", pin)
		}
	}
}

// A link to the directory is fine while nobody else can change what it leads to.
func TestFind_DirectoryBehindALink(t *testing.T) {
	t.Parallel()
	dir := agentDir(t)
	must(t, os.Mkdir(filepath.Join(dir, "loose"), 0o755))
	must(t, os.Rename(filepath.Join(dir, "root"), filepath.Join(dir, "loose/root")))
	must(t, os.Symlink("loose/root", filepath.Join(dir, "root")))
	if _, err := find(t, dir, nil, "heartbeat", "Good"); err != nil {
		t.Errorf("Find() = %v, want nil", err)
	}
	must(t, os.Chmod(filepath.Join(dir, "loose"), 0o777))
	if _, err := find(t, dir, nil, "heartbeat", "Good"); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "loose") {
		t.Errorf("Find() through a loose directory = %v, want refused", err)
	}
}
