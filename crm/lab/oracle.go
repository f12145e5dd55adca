package lab

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Exit codes of OCF agents that the oracle uses.
const (
	ocfSuccess       = 0
	ocfGeneric       = 1
	ocfArgs          = 2
	ocfUnimplemented = 3
	ocfNotRunning    = 7
)

const oracleMetadata = `<?xml version="1.0"?>
<resource-agent name="Oracle" version="1.0">
<version>1.1</version>
<longdesc lang="en">A resource of the lab that must never be active twice: while it is active, a process of its own holds a lock
that all machines of the lab share. What happens to it is written into the ledger.</longdesc>
<shortdesc lang="en">Exclusive resource of the lab</shortdesc>
<parameters>
<parameter name="base" required="1"><longdesc lang="en">Folder of the lab.</longdesc><shortdesc lang="en">folder</shortdesc><content type="string"/></parameter>
</parameters>
<actions>
<action name="start" timeout="10s"/>
<action name="stop" timeout="10s"/>
<action name="monitor" timeout="10s" interval="1s"/>
<action name="meta-data" timeout="5s"/>
</actions>
</resource-agent>
`

// oracle is one call of the agent, or the holder that it starts.
type oracle struct {
	base, node, resource string
}

func (o *oracle) ledger() string { return filepath.Join(o.base, "ledger") }
func (o *oracle) shared() string { return filepath.Join(o.base, "locks", o.resource) }
func (o *oracle) here() string   { return filepath.Join(o.base, o.node, "oracle", o.resource) }

// Oracle is the agent ocf:quorate:Oracle of the lab; it returns the exit code. The operation is op; what else
// it needs is in the environment, as for every OCF agent. Output is for metadata, errors for the exit reason.
func Oracle(op string, env func(string) string, output, errs io.Writer) int {
	if op == "meta-data" {
		io.WriteString(output, oracleMetadata)
		return ocfSuccess
	}
	o := &oracle{base: env("OCF_RESKEY_base"), resource: env("OCF_RESOURCE_INSTANCE")}
	var err error
	if o.node, err = os.Hostname(); err != nil || !filepath.IsAbs(o.base) || o.resource == "" || strings.ContainsAny(o.resource, "/\x00") {
		fmt.Fprintln(errs, "ocf-exit-reason:base must be an absolute path, and OCF_RESOURCE_INSTANCE the name of a resource")
		return ocfArgs
	}
	began := mono()
	var rc int
	switch op {
	case "start":
		rc, err = o.start()
	case "stop":
		rc, err = o.stop()
	case "monitor":
		rc, err = o.monitor()
	default:
		fmt.Fprintf(errs, "ocf-exit-reason:unknown operation %s\n", op)
		return ocfUnimplemented
	}
	if err != nil {
		fmt.Fprintf(errs, "ocf-exit-reason:%v\n", err)
		rc = ocfGeneric
	}
	r := Record{Kind: KindCall, Node: o.node, Resource: o.resource, Op: op, RC: rc, Began: began}
	if err != nil {
		r.Detail = err.Error()
	}
	if err := appendRecord(o.ledger(), r); err != nil {
		fmt.Fprintf(errs, "ocf-exit-reason:%v\n", err)
		return ocfGeneric
	}
	return rc
}

// lock takes the lock of a file without waiting; nil when somebody else has it.
func lock(name string) (*os.File, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return f, nil
	}
	f.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, nil
	}
	return nil, fmt.Errorf("lock %s: %w", name, err)
}

// active reports whether a holder of this machine lives: it has the lock of the machine's own file, so no
// process id has to be trusted.
func (o *oracle) active() (bool, error) {
	f, err := lock(o.here())
	if err != nil {
		return false, err
	}
	if f == nil {
		return true, nil
	}
	return false, f.Close()
}

func (o *oracle) monitor() (int, error) {
	active, err := o.active()
	if err != nil || active {
		return ocfSuccess, err
	}
	return ocfNotRunning, nil
}

// start starts the holder and returns once that has the lock.
func (o *oracle) start() (int, error) {
	if active, err := o.active(); err != nil || active {
		return ocfSuccess, err
	}
	self, err := os.Executable()
	if err != nil {
		return ocfGeneric, err
	}
	said, say, err := os.Pipe()
	if err != nil {
		return ocfGeneric, err
	}
	defer said.Close()
	cmd := exec.Command(self, "oracle-hold", o.base, o.node, o.resource)
	cmd.Dir = "/"
	cmd.ExtraFiles = []*os.File{say}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	say.Close()
	if err != nil {
		return ocfGeneric, err
	}
	answer, err := io.ReadAll(io.LimitReader(said, 1024))
	if err != nil {
		return ocfGeneric, err
	}
	if string(answer) != "up" {
		cmd.Process.Kill()
		cmd.Wait()
		return ocfGeneric, fmt.Errorf("the holder did not start: %s", answer)
	}
	return ocfSuccess, cmd.Process.Release()
}

// stop asks the holder to end and waits for it, as long as the agent's caller lets it.
func (o *oracle) stop() (int, error) {
	for {
		active, err := o.active()
		if err != nil || !active {
			return ocfSuccess, err
		}
		data, err := os.ReadFile(o.here())
		if err != nil {
			return ocfGeneric, err
		}
		// While the holder has the lock, the id in the file is its own.
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && pid > 1 {
			if err := syscall.Kill(pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
				return ocfGeneric, err
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// OracleHold is the process that is the resource: it has the lock that all machines share from its start to
// its end. It tells its parent by descriptor 3.
func OracleHold(base, node, resource string) error {
	o := &oracle{base: base, node: node, resource: resource}
	tell := os.NewFile(3, "parent")
	fail := func(err error) error {
		fmt.Fprint(tell, err)
		return err
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	own, err := lock(o.here())
	if err != nil {
		return fail(err)
	}
	if own == nil {
		return fail(errors.New("another holder of this machine is there"))
	}
	defer own.Close()
	if err := errors.Join(own.Truncate(0), writeAt(own, fmt.Sprintln(os.Getpid()))); err != nil {
		return fail(err)
	}
	all, err := lock(o.shared())
	if err != nil {
		return fail(err)
	}
	if all == nil {
		holder, _ := os.ReadFile(o.shared())
		if err := appendRecord(o.ledger(), Record{Kind: KindConflict, Node: node, Resource: resource, Detail: "held by " + strings.TrimSpace(string(holder))}); err != nil {
			return fail(err)
		}
		return fail(fmt.Errorf("%s is active already, on %s", resource, strings.TrimSpace(string(holder))))
	}
	defer all.Close()
	if err := errors.Join(all.Truncate(0), writeAt(all, node+"\n"), appendRecord(o.ledger(), Record{Kind: KindUp, Node: node, Resource: resource})); err != nil {
		return fail(err)
	}
	if _, err := io.WriteString(tell, "up"); err != nil {
		return err
	}
	tell.Close()
	<-stop
	// The record comes before the lock is given back, so that nobody's "up" can come before it.
	return appendRecord(o.ledger(), Record{Kind: KindDown, Node: node, Resource: resource})
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}
