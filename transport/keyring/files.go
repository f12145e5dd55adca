package keyring

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/quorate/quorate/membership"
	"github.com/quorate/quorate/transport"
)

// Names of the files in a key folder.
const (
	FileCAs    = "ca.crt"
	FileCAKey  = "ca.key"
	FileKey    = "node.key"
	FileServer = "node-server.crt"
	FileClient = "node-client.crt"
)

const (
	keyMode    = 0o600
	folderMode = 0o700
	// maxFile bounds what is read. The largest file is ca.crt with a few certificates.
	maxFile   = 64 << 10
	tempStart = ".new-"

	pemCertificate = "CERTIFICATE"
	pemKey         = "PRIVATE KEY"
)

// PermissionError says that a file or folder is open to others, or not of the kind or owner that it must be.
type PermissionError struct {
	Path string
	// Fault says what is wrong, Want what would be right.
	Fault, Want string
}

func (e *PermissionError) Error() string {
	return fmt.Sprintf("%s: %s, must be %s", e.Path, e.Fault, e.Want)
}

// Folder is an open key folder. All files are reached through its handle, so that nobody can swap the folder in between.
// Close it after use. Its methods may be called by several goroutines.
type Folder struct {
	root *os.Root
	path string
	uid  uint32
	// sync makes a file's or the folder's content durable; tests let it fail.
	sync func(*os.File) error
}

// OpenFolder opens a key folder, which must belong to the user of this process and have mode 0700, else the error is a
// *PermissionError. A folder that does not exist is made (not its parents). Left-over temporary files are removed.
func OpenFolder(path string) (*Folder, error) {
	if err := os.Mkdir(path, folderMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("key folder: %w", err)
	}
	root, err := os.OpenRoot(path)
	if err != nil {
		return nil, fmt.Errorf("key folder: %w", err)
	}
	f := &Folder{root: root, path: path, uid: uint32(os.Geteuid()), sync: (*os.File).Sync}
	if err := f.check(); err != nil {
		_ = root.Close()
		return nil, err
	}
	return f, nil
}

func (f *Folder) check() error {
	// Lstat, because a link to a folder is a place that somebody else may choose.
	link, err := os.Lstat(f.path)
	if err != nil {
		return fmt.Errorf("key folder: %w", err)
	}
	if !link.IsDir() {
		return &PermissionError{f.path, "it is a " + kind(link.Mode()), "a folder"}
	}
	info, err := f.root.Stat(".")
	if err != nil {
		return fmt.Errorf("key folder: %w", err)
	}
	if err := checkAccess(f.path, info, f.uid, 0o077, "0700"); err != nil {
		return err
	}
	dir, err := f.root.Open(".")
	if err != nil {
		return fmt.Errorf("key folder: %w", err)
	}
	defer func() { _ = dir.Close() }()
	names, err := dir.Readdirnames(-1)
	if err != nil {
		return fmt.Errorf("key folder %s: %w", f.path, err)
	}
	for _, n := range names {
		if strings.HasPrefix(n, tempStart) {
			if err := f.root.Remove(n); err != nil {
				return fmt.Errorf("key folder: remove a left-over file: %w", err)
			}
		}
	}
	return nil
}

func checkAccess(path string, info fs.FileInfo, uid uint32, forbidden fs.FileMode, want string) error {
	if p := info.Mode().Perm(); p&forbidden != 0 {
		return &PermissionError{path, fmt.Sprintf("its mode is %04o", p), fmt.Sprintf("%s (chmod %s %s)", want, want, path)}
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return &PermissionError{path, "its owner can't be told", "on a file system with owners"}
	}
	if st.Uid != uid {
		return &PermissionError{path, fmt.Sprintf("it belongs to user %d", st.Uid), fmt.Sprintf("of user %d, as which this process runs", uid)}
	}
	return nil
}

func kind(m fs.FileMode) string {
	switch {
	case m.IsRegular():
		return "regular file"
	case m&fs.ModeSymlink != 0:
		return "symbolic link"
	case m.IsDir():
		return "folder"
	}
	return "special file"
}

// Close releases the folder's handle.
func (f *Folder) Close() error { return f.root.Close() }

// Read returns the content of a file. All files of the folder must be regular files of this user which others can't write, and those
// with a private key which others can't read either; else the error is a *PermissionError. A file that is not there
// gives an error that wraps fs.ErrNotExist.
func (f *Folder) Read(name string) ([]byte, error) {
	path := filepath.Join(f.path, name)
	file, err := f.open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = file.Close() }()
	b, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if len(b) > maxFile {
		return nil, fmt.Errorf("%s has more than %d bytes, that can't be right", path, maxFile)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil, fmt.Errorf("%s is empty", path)
	}
	return b, nil
}

// CheckFile reports whether a file is still of the kind, owner and mode that Read wants.
func (f *Folder) CheckFile(name string) error {
	file, err := f.open(name)
	if err != nil {
		return err
	}
	return file.Close()
}

// open opens a file and checks kind, owner and mode.
func (f *Folder) open(name string) (_ *os.File, err error) {
	path := filepath.Join(f.path, name)
	// os.Root follows links inside the folder itself, so a link is looked for first, and SameFile below says that
	// what was opened is what was looked at.
	seen, err := f.root.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !seen.Mode().IsRegular() {
		return nil, &PermissionError{path, "it is a " + kind(seen.Mode()), "a regular file"}
	}
	// O_NONBLOCK: a FIFO that is put there meanwhile must not make the start hang.
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if !os.SameFile(seen, info) {
		return nil, &PermissionError{path, "it was replaced while it was opened", "left alone"}
	}
	forbidden, want := fs.FileMode(0o022), "0644"
	if strings.HasSuffix(name, ".key") {
		forbidden, want = 0o077, "0600"
	}
	if err := checkAccess(path, info, f.uid, forbidden, want); err != nil {
		return nil, err
	}
	return file, nil
}

// Write replaces a file: after it returned nil the new content is on the disk; if it fails or the machine crashes, the old or the
// new content is there in full.
func (f *Folder) Write(name string, content []byte) (err error) {
	path := filepath.Join(f.path, name)
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", path, err)
		}
	}()
	var suffix [8]byte
	if _, err := rand.Read(suffix[:]); err != nil {
		return err
	}
	temp := tempStart + name + "-" + hex.EncodeToString(suffix[:])
	file, err := f.root.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, keyMode)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = f.root.Remove(temp)
		}
	}()
	_, err = file.Write(content)
	if err == nil {
		// The umask may have taken bits away.
		err = file.Chmod(keyMode)
	}
	if err == nil {
		err = f.sync(file)
	}
	if e := file.Close(); err == nil {
		err = e
	}
	if err != nil {
		return err
	}
	if err := f.root.Rename(temp, name); err != nil {
		return err
	}
	dir, err := f.root.Open(".")
	if err != nil {
		return err
	}
	err = f.sync(dir)
	if e := dir.Close(); err == nil {
		err = e
	}
	return err
}

// Remove removes a file and syncs the folder. A file that is not there is no error.
func (f *Folder) Remove(name string) error {
	if err := f.root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s: %w", filepath.Join(f.path, name), err)
	}
	dir, err := f.root.Open(".")
	if err != nil {
		return fmt.Errorf("remove %s: %w", filepath.Join(f.path, name), err)
	}
	err = f.sync(dir)
	if e := dir.Close(); err == nil {
		err = e
	}
	return err
}

// WriteKey writes a private key (PEM, PKCS #8).
func (f *Folder) WriteKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Join(f.path, name), err)
	}
	defer clear(der)
	return f.Write(name, pem.EncodeToMemory(&pem.Block{Type: pemKey, Bytes: der}))
}

// ReadKey reads a private key, which must be ECDSA P-256.
func (f *Folder) ReadKey(name string) (*ecdsa.PrivateKey, error) {
	blocks, err := f.readPEM(name, pemKey)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(f.path, name)
	if len(blocks) != 1 {
		return nil, fmt.Errorf("%s: it has %d keys, must have one", path, len(blocks))
	}
	key, err := x509.ParsePKCS8PrivateKey(blocks[0])
	if err != nil {
		// The parser's text may name bytes of the key.
		return nil, fmt.Errorf("%s: it holds no readable private key (PKCS #8)", path)
	}
	k, ok := key.(*ecdsa.PrivateKey)
	if !ok || !isP256(&k.PublicKey) {
		return nil, fmt.Errorf("%s: the key is not ECDSA P-256", path)
	}
	return k, nil
}

// WriteCertificates writes certificates (DER) to one PEM file.
func (f *Folder) WriteCertificates(name string, ders ...[]byte) error {
	var b bytes.Buffer
	for _, der := range ders {
		if err := pem.Encode(&b, &pem.Block{Type: pemCertificate, Bytes: der}); err != nil {
			return fmt.Errorf("write %s: %w", filepath.Join(f.path, name), err)
		}
	}
	return f.Write(name, b.Bytes())
}

// ReadCertificates reads the certificates of a PEM file, at least one, in DER form.
func (f *Folder) ReadCertificates(name string) ([][]byte, error) {
	return f.readPEM(name, pemCertificate)
}

func (f *Folder) readPEM(name, want string) ([][]byte, error) {
	b, err := f.Read(name)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(f.path, name)
	var out [][]byte
	for len(bytes.TrimSpace(b)) > 0 {
		block, rest := pem.Decode(b)
		if block == nil {
			return nil, fmt.Errorf("%s: block %d is not PEM, or is cut off", path, len(out)+1)
		}
		if block.Type != want {
			return nil, fmt.Errorf("%s: block %d is %q, must be %q", path, len(out)+1, block.Type, want)
		}
		out = append(out, block.Bytes)
		b = rest
	}
	return out, nil
}

// SaveNode writes a node's key, certificates and CA certificates. The key goes first, so that a crash never leaves
// certificates for a key that was not saved.
func (f *Folder) SaveNode(n *Node) error {
	if err := n.Check(); err != nil {
		return err
	}
	if err := f.WriteKey(FileKey, n.Key); err != nil {
		return err
	}
	if err := f.WriteCertificates(FileCAs, n.CAs...); err != nil {
		return err
	}
	if err := f.WriteCertificates(FileServer, n.Server); err != nil {
		return err
	}
	return f.WriteCertificates(FileClient, n.Client)
}

// LoadNode reads what SaveNode wrote and checks that it fits together. The cluster and the node id are taken from the certificates.
func (f *Folder) LoadNode() (*Node, error) {
	key, err := f.ReadKey(FileKey)
	if err != nil {
		return nil, err
	}
	n := &Node{Key: key}
	if n.CAs, err = f.ReadCertificates(FileCAs); err != nil {
		return nil, err
	}
	if n.Server, err = f.readOne(FileServer); err != nil {
		return nil, err
	}
	if n.Client, err = f.readOne(FileClient); err != nil {
		return nil, err
	}
	if n.Cluster, n.ID, err = identify(n.Server); err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Join(f.path, FileServer), err)
	}
	if err := n.Check(); err != nil {
		return nil, fmt.Errorf("key folder %s: %w", f.path, err)
	}
	return n, nil
}

func (f *Folder) readOne(name string) ([]byte, error) {
	ders, err := f.ReadCertificates(name)
	if err != nil {
		return nil, err
	}
	if len(ders) != 1 {
		return nil, fmt.Errorf("%s: it has %d certificates, must have one", filepath.Join(f.path, name), len(ders))
	}
	return ders[0], nil
}

func identify(der []byte) (transport.ClusterID, membership.NodeID, error) {
	leaf, _, err := parseChain([][]byte{der})
	if err != nil {
		return "", 0, err
	}
	return checkNode(leaf)
}

// SaveCA writes the CA's key. The certificate goes to ca.crt with SaveNode.
func (f *Folder) SaveCA(ca *CA) error { return f.WriteKey(FileCAKey, ca.key) }

// LoadCA reads the CA's key and finds its certificate among those of ca.crt. A node without the key gives an error that
// wraps fs.ErrNotExist.
func (f *Folder) LoadCA() (*CA, error) {
	key, err := f.ReadKey(FileCAKey)
	if err != nil {
		return nil, err
	}
	ders, err := f.ReadCertificates(FileCAs)
	if err != nil {
		return nil, err
	}
	for _, der := range ders {
		if ca, err := ParseCA(der, key); err == nil {
			return ca, nil
		}
	}
	return nil, fmt.Errorf("%s: no certificate in %s belongs to this key", filepath.Join(f.path, FileCAKey), FileCAs)
}
