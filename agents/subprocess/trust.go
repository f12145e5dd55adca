package subprocess

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Errors of Directory.
var (
	ErrNotFound = errors.New("not installed")
	ErrRefused  = errors.New("refused")
)

const (
	// maxProgram bounds the size of a program that is hashed before each run.
	maxProgram = 256 << 20
	// maxLinks bounds a chain of symbolic links, as the kernel does (40), but shorter: none are expected.
	maxLinks = 8
	// maxHashes bounds the remembered hashes; an installation has some hundred agents.
	maxHashes = 4096
)

// Owner says whose files count as trustworthy: root's, and without root also the own user's.
type Owner struct {
	UID int // effective user of this process
}

// CurrentOwner is the owner for the user of this process.
func CurrentOwner() Owner { return Owner{UID: os.Geteuid()} }

// Check refuses files and directories that somebody else owns or can write to. The user's own group may write
// where the process runs without root and that group is the user's private one (same number), because that is
// how many systems set up unprivileged users.
func (o Owner) Check(path string, info os.FileInfo) error {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return fmt.Errorf("%s: owner not known: %w", path, ErrRefused)
	}
	if st.Uid != 0 && int(st.Uid) != o.UID {
		return fmt.Errorf("%s: %w: owned by user %d: must be owned by %s", path, ErrRefused, st.Uid, o.names())
	}
	mode := info.Mode()
	if mode.Perm()&0o002 != 0 {
		return fmt.Errorf("%s: %w: mode %04o lets everybody write: run chmod o-w", path, ErrRefused, mode.Perm())
	}
	if mode.Perm()&0o020 != 0 && (o.UID == 0 || int(st.Gid) != o.UID || st.Gid != st.Uid) {
		return fmt.Errorf("%s: %w: mode %04o lets group %d write: run chmod g-w", path, ErrRefused, mode.Perm(), st.Gid)
	}
	return nil
}

func (o Owner) names() string {
	if o.UID == 0 {
		return "root"
	}
	return fmt.Sprintf("root or user %d", o.UID)
}

// CheckAbove checks the directories from / down to dir itself, both as the path names them and where symbolic
// links lead. Above dir, a directory that everybody may write to passes when it has the sticky bit, because
// entries of others cannot be renamed in it.
func (o Owner) CheckAbove(dir string) error {
	if !filepath.IsAbs(dir) {
		return fmt.Errorf("directory %q: the path must be absolute", dir)
	}
	dir = filepath.Clean(dir)
	real, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return notFound("directory "+dir, err)
	}
	if err := o.checkChain(real); err != nil || real == dir {
		return err
	}
	return o.checkChain(dir)
}

func (o Owner) checkChain(dir string) error {
	for p := dir; ; p = filepath.Dir(p) {
		info, err := os.Stat(p)
		if err != nil {
			return notFound("directory "+p, err)
		}
		if !info.IsDir() {
			return fmt.Errorf("%s: %w: not a directory", p, ErrRefused)
		}
		if p == dir || info.Mode()&os.ModeSticky == 0 {
			if err := o.Check(p, info); err != nil {
				return err
			}
		}
		if p == "/" {
			return nil
		}
	}
}

// Directory finds programs below one directory. The programs and all directories on the way to them must be
// owned by root (see Owner) and writable by nobody else; symbolic links must stay inside the directory.
//
// The checks are made at each use. Between the check and the execution a file can be changed only by those
// who may change it anyway, since everybody else was found unable to; so the program is started by its path,
// and scripts see the name under which they were called.
type Directory struct {
	dir   string
	owner Owner
	pins  map[string]string

	mu     sync.Mutex
	hashes map[string]hashed // by path
}

type hashed struct {
	id  identity
	sum string
}

// identity changes when the content of a file does.
type identity struct {
	dev, ino     uint64
	size         int64
	mtime, ctime syscall.Timespec
}

func identityOf(info os.FileInfo) identity {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return identity{}
	}
	return identity{uint64(st.Dev), st.Ino, st.Size, st.Mtim, st.Ctim}
}

// NewDirectory describes the directory, which need not exist yet. Pins give, by the path below the directory
// (for example heartbeat/IPaddr2), the SHA-256 (lower-case hex) that the program must have.
func NewDirectory(dir string, owner Owner, pins map[string]string) (*Directory, error) {
	if !filepath.IsAbs(dir) {
		return nil, fmt.Errorf("directory %q: the path must be absolute", dir)
	}
	for name, sum := range pins {
		if raw, err := hex.DecodeString(sum); err != nil || len(raw) != sha256.Size || strings.ToLower(sum) != sum {
			return nil, fmt.Errorf("pin of %s: %q is not a SHA-256 in lower-case hex", name, sum)
		}
	}
	return &Directory{dir: filepath.Clean(dir), owner: owner, pins: pins, hashes: map[string]hashed{}}, nil
}

// Path returns the directory.
func (d *Directory) Path() string { return d.dir }

// Program is a checked program file.
type Program struct {
	Path   string // the name under which it is called
	SHA256 string
}

// Find checks the program below the directory. The elements are single names, checked by the caller against
// its own rule as well; "." and ".." and separators are refused here. Errors: ErrNotFound, ErrRefused.
func (d *Directory) Find(elements ...string) (Program, error) {
	for _, e := range elements {
		if e == "" || e == "." || e == ".." || strings.ContainsAny(e, "/\x00") {
			return Program{}, fmt.Errorf("name %q: %w: not a plain file name", e, ErrRefused)
		}
	}
	name := filepath.Join(elements...)
	path := filepath.Join(d.dir, name)
	if err := d.owner.CheckAbove(d.dir); err != nil {
		return Program{}, err
	}
	root, err := os.OpenRoot(d.dir)
	if err != nil {
		return Program{}, notFound(path, err)
	}
	defer root.Close()
	final, err := d.walk(root, name)
	if err != nil {
		return Program{}, err
	}
	f, err := root.Open(final)
	if err != nil {
		return Program{}, notFound(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return Program{}, fmt.Errorf("%s: %w", path, err)
	}
	if !info.Mode().IsRegular() {
		return Program{}, fmt.Errorf("%s: %w: not a regular file", path, ErrRefused)
	}
	if err := d.owner.Check(path, info); err != nil {
		return Program{}, err
	}
	if info.Mode().Perm()&0o111 == 0 {
		return Program{}, fmt.Errorf("%s: %w: mode %04o is not executable: run chmod +x", path, ErrRefused, info.Mode().Perm())
	}
	if info.Mode()&(os.ModeSetuid|os.ModeSetgid) != 0 {
		return Program{}, fmt.Errorf("%s: %w: setuid or setgid", path, ErrRefused)
	}
	sum, err := d.hash(path, f, info)
	if err != nil {
		return Program{}, err
	}
	if want, pinned := d.pins[name]; pinned && want != sum {
		return Program{}, fmt.Errorf("%s: %w: its SHA-256 is %s, pinned is %s: the file was changed, or the pin must be renewed", path, ErrRefused, sum, want)
	}
	return Program{Path: path, SHA256: sum}, nil
}

// walk checks every element of the path below the root and follows symbolic links by itself, so that the
// directories that a link leads through are checked too. It returns the path without links.
func (d *Directory) walk(root *os.Root, name string) (string, error) {
	rest := strings.Split(name, "/")
	var done []string
	for links := 0; len(rest) > 0; {
		element := rest[0]
		rest = rest[1:]
		switch element {
		case "", ".":
			continue
		case "..":
			if len(done) == 0 {
				return "", fmt.Errorf("%s: %w: a symbolic link leads out of %s", filepath.Join(d.dir, name), ErrRefused, d.dir)
			}
			done = done[:len(done)-1]
			continue
		}
		here := filepath.Join(append(slices.Clone(done), element)...)
		info, err := root.Lstat(here)
		if err != nil {
			return "", notFound(filepath.Join(d.dir, here), err)
		}
		if info.Mode()&os.ModeSymlink != 0 {
			if links++; links > maxLinks {
				return "", fmt.Errorf("%s: %w: more than %d symbolic links", filepath.Join(d.dir, name), ErrRefused, maxLinks)
			}
			target, err := root.Readlink(here)
			if err != nil {
				return "", notFound(filepath.Join(d.dir, here), err)
			}
			if filepath.IsAbs(target) {
				// An absolute link into the directory is as good as a relative one.
				inside, found := strings.CutPrefix(filepath.Clean(target), d.dir+"/")
				if !found {
					return "", fmt.Errorf("%s: %w: the symbolic link to %s leads out of %s", filepath.Join(d.dir, here), ErrRefused, target, d.dir)
				}
				done, target = nil, inside
			}
			rest = append(strings.Split(target, "/"), rest...)
			continue
		}
		if len(rest) > 0 {
			if !info.IsDir() {
				return "", fmt.Errorf("%s: %w", filepath.Join(d.dir, here), ErrNotFound)
			}
			if err := d.owner.Check(filepath.Join(d.dir, here), info); err != nil {
				return "", err
			}
		}
		done = append(done, element)
	}
	if len(done) == 0 {
		return "", fmt.Errorf("%s: %w: not a file", filepath.Join(d.dir, name), ErrRefused)
	}
	return filepath.Join(done...), nil
}

func notFound(path string, err error) error {
	if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return fmt.Errorf("%s: %w", path, ErrNotFound)
	}
	return fmt.Errorf("%s: %w: %v", path, ErrRefused, err)
}

// hash returns the SHA-256 of the file, remembered while the file stays the same.
func (d *Directory) hash(path string, f *os.File, info os.FileInfo) (string, error) {
	id := identityOf(info)
	d.mu.Lock()
	known, found := d.hashes[path]
	d.mu.Unlock()
	// Times of files have the grain of a kernel tick: a file changed just now may be changed again unseen.
	settled := time.Since(time.Unix(id.ctime.Sec, id.ctime.Nsec)) > time.Second
	if found && known.id == id && settled {
		return known.sum, nil
	}
	if info.Size() > maxProgram {
		return "", fmt.Errorf("%s: %w: %d bytes: at most %d", path, ErrRefused, info.Size(), maxProgram)
	}
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, maxProgram)); err != nil {
		return "", fmt.Errorf("read %s: %w", path, err)
	}
	sum := hex.EncodeToString(h.Sum(nil))
	if settled {
		d.mu.Lock()
		defer d.mu.Unlock()
		if len(d.hashes) >= maxHashes {
			clear(d.hashes)
		}
		d.hashes[path] = hashed{id, sum}
	}
	return sum, nil
}

// Entries lists the names below the directory at the given path (nothing = the directory itself), sorted. A
// directory that does not exist has none.
func (d *Directory) Entries(elements ...string) ([]os.DirEntry, error) {
	root, err := os.OpenRoot(d.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.dir, err)
	}
	defer root.Close()
	f, err := root.Open(filepath.Join(append([]string{"."}, elements...)...))
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.dir, err)
	}
	defer f.Close()
	entries, err := f.ReadDir(-1)
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", d.dir, err)
	}
	slices.SortFunc(entries, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return entries, nil
}
