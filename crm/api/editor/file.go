package editor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
)

// File is a CIB in a file, as XML.
type File struct {
	Path  string
	Label string // for prompts; "" = the file's name
}

var _ Backend = (*File)(nil)

// Name implements Backend.
func (b *File) Name(context.Context) string {
	if b.Label != "" {
		return b.Label
	}
	return filepath.Base(b.Path)
}

// maxFile bounds a CIB file in bytes.
const maxFile = 512 << 20

// Load implements Backend.
func (b *File) Load(context.Context) (*Snapshot, error) {
	if st, err := os.Stat(b.Path); err != nil {
		return nil, fmt.Errorf("read the CIB: %w", err)
	} else if st.Size() > maxFile {
		return nil, fmt.Errorf("read the CIB: %s has %d bytes, at most %d", b.Path, st.Size(), maxFile)
	}
	data, err := os.ReadFile(b.Path)
	if err != nil {
		return nil, fmt.Errorf("read the CIB: %w", err)
	}
	doc, _, err := cibxml.Read(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", b.Path, err)
	}
	return &Snapshot{Doc: doc, data: data}, nil
}

// configuration implements Backend.
func (b *File) configuration(ctx context.Context, _ client.Scope, _ bool) (*Snapshot, error) {
	return b.Load(ctx)
}

// Commit implements Backend. The file is replaced in one step and keeps its mode. The message is not kept: a CIB
// has no place for it.
func (b *File) Commit(ctx context.Context, base *Snapshot, changes []cib.Change, opts Options) error {
	now, err := b.Load(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(now.data, base.data) && !opts.Force {
		var both []string
		if changes, both = Merge(base.Doc, now.Doc, changes); len(both) > 0 {
			return &ConflictError{both}
		}
	}
	doc, err := cib.Apply(now.Doc, changes)
	if err != nil {
		return err
	}
	out := *doc
	out.Head.Epoch++
	out.Head.NumUpdates = 0
	return b.write(&out, now)
}

// Replace writes the document as it is, its head and status included; base becomes what was written. It refuses when
// somebody changed the file since base.
func (b *File) Replace(ctx context.Context, base *Snapshot, doc *cib.Document) error {
	now, err := b.Load(ctx)
	if err != nil {
		return err
	}
	if !bytes.Equal(now.data, base.data) {
		return fmt.Errorf("%s was changed by somebody else meanwhile: load it again", b.Path)
	}
	if err := b.write(doc, now); err != nil {
		return err
	}
	again, err := b.Load(ctx)
	if err != nil {
		return err
	}
	*base = *again
	return nil
}

func (b *File) write(doc *cib.Document, now *Snapshot) error {
	return writeFile(b.Path, cibxml.Write(doc, cibxml.Options{NoDeclaration: !bytes.HasPrefix(now.data, []byte("<?xml"))}))
}

// writeFile replaces a file in one step, with the mode and owner that it had.
func writeFile(name string, data []byte) error {
	if target, err := filepath.EvalSymlinks(name); err == nil {
		name = target
	}
	mode := os.FileMode(0o600)
	if st, err := os.Stat(name); err == nil {
		mode = st.Mode().Perm()
		if !st.Mode().IsRegular() {
			return fmt.Errorf("%s is no regular file", name)
		}
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(mode)
	}
	if err == nil {
		err = f.Sync()
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	return os.Rename(f.Name(), name)
}
