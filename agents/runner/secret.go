package runner

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/agents"
	"github.com/quorate/quorate/agents/subprocess"
)

// ErrSecret is in the chain of every error about a secret that cannot be had.
var ErrSecret = errors.New("secret not available")

// SecretPrefix begins a parameter value that refers to a secret: ref:KIND:NAME.
const SecretPrefix = "ref:"

// SecretsConfig says where secrets may come from. What is not listed is refused.
type SecretsConfig struct {
	// Directories whose files ref:file:PATH may name; files and directories must belong to root (without root:
	// or to this user), and nobody else may read or write the files.
	Directories []string
	// Environment names the variables of this process that ref:env:NAME may name; a trailing * stands for
	// any rest.
	Environment []string
	// Credentials is the directory of ref:credential:NAME, normally $CREDENTIALS_DIRECTORY, which systemd
	// sets; "" = none.
	Credentials string
}

// Secrets resolves references at the moment of use. Its methods may be called by several goroutines.
type Secrets struct {
	cfg   SecretsConfig
	owner subprocess.Owner
	env   func(string) (string, bool)
}

// NewSecrets checks the configuration. Directories need not exist yet.
func NewSecrets(cfg SecretsConfig) (*Secrets, error) {
	for _, d := range append(slices.Clone(cfg.Directories), cfg.Credentials) {
		if d != "" && (!filepath.IsAbs(d) || filepath.Clean(d) != d || d == "/") {
			return nil, fmt.Errorf("directory of secrets %q: must be an absolute path in its shortest form, not /", d)
		}
	}
	return &Secrets{cfg: cfg, owner: subprocess.CurrentOwner(), env: os.LookupEnv}, nil
}

// Resolve separates parameters from secrets and resolves the latter. One that cannot be resolved is an
// error for the whole: an agent never runs with an empty secret, or with the reference as its value.
func (s *Secrets) Resolve(params map[string]string) (plain map[string]string, secrets map[string]agents.Secret, err error) {
	plain = make(map[string]string, len(params))
	for _, name := range slices.Sorted(maps.Keys(params)) {
		ref, found := strings.CutPrefix(params[name], SecretPrefix)
		if !found {
			plain[name] = params[name]
			continue
		}
		if s == nil {
			return nil, nil, fmt.Errorf("parameter %s: %w: no source of secrets is configured", name, ErrSecret)
		}
		value, err := s.one(ref)
		if err != nil {
			return nil, nil, fmt.Errorf("parameter %s: %w: %w", name, ErrSecret, err)
		}
		if secrets == nil {
			secrets = map[string]agents.Secret{}
		}
		secrets[name] = agents.NewSecret(value)
	}
	return plain, secrets, nil
}

// one resolves KIND:NAME.
func (s *Secrets) one(ref string) (string, error) {
	kind, name, found := strings.Cut(ref, ":")
	if !found || name == "" {
		return "", fmt.Errorf("reference %q: expected ref:KIND:NAME", agents.CleanLine(SecretPrefix+ref, agents.MaxNameLength))
	}
	var value string
	var err error
	switch kind {
	case "file":
		value, err = s.file(name)
	case "credential":
		value, err = s.credential(name)
	case "env":
		value, err = s.variable(name)
	default:
		return "", fmt.Errorf("kind %q is not known here: expected file, credential or env", agents.CleanLine(kind, agents.MaxNameLength))
	}
	if err != nil {
		return "", err
	}
	if value == "" {
		return "", fmt.Errorf("%s %s is empty", kind, agents.CleanLine(name, agents.MaxReason))
	}
	if i := strings.IndexByte(value, 0); i >= 0 {
		return "", fmt.Errorf("%s %s has a NUL byte at %d", kind, agents.CleanLine(name, agents.MaxReason), i+1)
	}
	return value, nil
}

func (s *Secrets) variable(name string) (string, error) {
	for _, pattern := range s.cfg.Environment {
		prefix, open := strings.CutSuffix(pattern, "*")
		if name == pattern || open && strings.HasPrefix(name, prefix) {
			value, found := s.env(name)
			if !found {
				return "", fmt.Errorf("variable %s is not set for quorated", agents.CleanLine(name, agents.MaxNameLength))
			}
			return value, nil
		}
	}
	return "", fmt.Errorf("variable %s is not listed as a secret in quorated.toml", agents.CleanLine(name, agents.MaxNameLength))
}

func (s *Secrets) credential(name string) (string, error) {
	if s.cfg.Credentials == "" {
		return "", errors.New("the service manager gave quorated no credentials")
	}
	if err := agents.ValidateName("credential", name); err != nil {
		return "", err
	}
	return s.read(s.cfg.Credentials, name)
}

func (s *Secrets) file(path string) (string, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path || strings.IndexByte(path, 0) >= 0 {
		return "", fmt.Errorf("file %q: must be an absolute path in its shortest form", agents.CleanLine(path, agents.MaxReason))
	}
	for _, d := range s.cfg.Directories {
		if name, inside := strings.CutPrefix(path, d+"/"); inside {
			return s.read(d, name)
		}
	}
	return "", fmt.Errorf("file %s does not lie in a directory of secrets (%s)", agents.CleanLine(path, agents.MaxReason), strings.Join(s.cfg.Directories, ", "))
}

// read opens a file below a directory, following no symbolic links, and checks it and the way to it.
func (s *Secrets) read(dir, name string) (string, error) {
	if err := s.owner.CheckAbove(dir); err != nil {
		return "", err
	}
	fd, err := unix.Open(dir, unix.O_DIRECTORY|unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return "", fmt.Errorf("%s: %w", dir, err)
	}
	here := dir
	elements := strings.Split(name, "/")
	for i, e := range elements {
		flags := unix.O_RDONLY | unix.O_CLOEXEC | unix.O_NOFOLLOW | unix.O_NONBLOCK
		if i < len(elements)-1 {
			flags |= unix.O_DIRECTORY
		}
		next, err := unix.Openat(fd, e, flags, 0)
		unix.Close(fd)
		here = filepath.Join(here, e)
		if errors.Is(err, unix.ELOOP) {
			return "", fmt.Errorf("%s: a symbolic link is not followed to a secret", here)
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", here, err)
		}
		fd = next
		if i < len(elements)-1 {
			var st unix.Stat_t
			if err := unix.Fstat(fd, &st); err != nil {
				unix.Close(fd)
				return "", fmt.Errorf("%s: %w", here, err)
			}
			if st.Uid != 0 && int(st.Uid) != s.owner.UID || st.Mode&0o022 != 0 {
				unix.Close(fd)
				return "", fmt.Errorf("%s: owner %d or mode %04o lets others change it", here, st.Uid, st.Mode&0o7777)
			}
		}
	}
	f := os.NewFile(uintptr(fd), here)
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !info.Mode().IsRegular():
		return "", fmt.Errorf("%s: not a regular file", here)
	case st.Uid != 0 && int(st.Uid) != s.owner.UID:
		return "", fmt.Errorf("%s: owned by user %d, must be root's", here, st.Uid)
	case info.Mode().Perm()&0o077 != 0:
		return "", fmt.Errorf("%s: mode %04o lets others read it: run chmod 600", here, info.Mode().Perm())
	}
	text, err := io.ReadAll(io.LimitReader(f, agents.MaxValue+2))
	if err != nil {
		return "", fmt.Errorf("%s: %w", here, err)
	}
	value := strings.TrimSuffix(strings.TrimSuffix(string(text), "\n"), "\r")
	if len(value) > agents.MaxValue {
		return "", fmt.Errorf("%s: more than %d bytes", here, agents.MaxValue)
	}
	return value, nil
}
