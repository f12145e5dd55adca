package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/transport/keyring"
)

// lowDisk is the free space from which on the node warns.
const lowDisk = 4 * minFree

// health fills in what the node says of its keys, its disk and the clocks, and warns of what is wrong with them.
func (d *instance) health(out *api.Local, now time.Time) {
	h := &api.Health{}
	var problem string
	h.CertificateEnds, h.CertificateRenew, problem, h.Authority = d.authority.validity()
	warn := func(format string, args ...any) { out.Warnings = append(out.Warnings, fmt.Sprintf(format, args...)) }
	day := func(t time.Time) string { return t.UTC().Format(time.DateOnly) }
	switch {
	case now.After(h.CertificateEnds):
		warn("the certificates of %s expired on %s: %s; members still accept them", d.name, day(h.CertificateEnds), orElse(problem, "is the clock right?"))
	case now.After(h.CertificateRenew.Add(2 * epochTime)):
		warn("the certificates of %s end on %s and could not be renewed since %s: %s", d.name, day(h.CertificateEnds), day(h.CertificateRenew), orElse(problem, "is the clock right?"))
	}
	for _, p := range out.Peers {
		if p.ClockAhead != nil && p.ClockAhead.Abs() >= clockAlarm {
			warn("the clock of %s is %v ahead of the one of %s: set them by the network (chronyd or systemd-timesyncd)", p.Node, p.ClockAhead.Round(time.Millisecond), d.name)
		}
	}
	var st unix.Statfs_t
	if err := unix.Statfs(d.paths.nodeDir(), &st); err != nil {
		warn("disk of %s: %v", d.paths.nodeDir(), err)
	} else {
		h.DiskFree, h.DiskSize = st.Bavail*uint64(st.Bsize), st.Blocks*uint64(st.Bsize)
		if h.DiskFree < lowDisk {
			warn("the disk of %s is nearly full: %d MiB are free; the node ends when it cannot write its log", d.paths.nodeDir(), h.DiskFree>>20)
		}
	}
	for _, err := range []error{d.checkKeys(), checkConfigFile(d.paths.ConfigFile())} {
		if err != nil {
			warn("%v", err)
		}
	}
	out.Health = h
}

func orElse(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// checkKeys looks whether the key files are still closed to others. The start refuses what is open.
func (d *instance) checkKeys() error {
	for _, name := range []string{keyring.FileKey, keyring.FileCAKey, keyring.FileCAs, keyring.FileServer, keyring.FileClient} {
		if err := d.keys.CheckFile(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func checkConfigFile(name string) error {
	info, err := os.Stat(name)
	if err != nil {
		return nil // a missing one means the defaults
	}
	return checkOwned(name, info)
}
