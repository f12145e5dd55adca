package lockfile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

func TestTake(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "lock")
	l, err := Take(path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Take(path); !errors.Is(err, ErrLocked) {
		t.Fatalf("Take() a second time = %v, want ErrLocked", err)
	}
	// What a child that was forked meanwhile has of it: another descriptor of the same open file.
	copied, err := unix.Dup(int(l.file.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(copied)
	if err := l.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := Take(path)
	if err != nil {
		t.Fatalf("Take() after Release() = %v, want the lock although a copy of the descriptor is open", err)
	}
	if err := again.Release(); err != nil {
		t.Fatal(err)
	}
}

func TestTake_Refused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.Symlink(filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{filepath.Join(dir, "link"), filepath.Join(dir, "none", "lock")} {
		if _, err := Take(path); err == nil || errors.Is(err, ErrLocked) {
			t.Errorf("Take(%s) = %v, want another error than ErrLocked", path, err)
		}
	}
}
