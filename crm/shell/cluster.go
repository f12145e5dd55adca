package shell

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/quorate/quorate/crm/api"
	"github.com/quorate/quorate/crm/api/client"
	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/cib/cibxml"
	"github.com/quorate/quorate/crm/store/command"
)

func clusterLevel() *level {
	return &level{name: "cluster", help: "Make, join, start and stop the cluster on this node.", commands: append([]*row{
		{name: "init", args: "--name CLUSTER [--node NAME] [--link LINK=ADDRESS ...] [--witness] [--config FILE]",
			example: "crm cluster init --name web --node alpha --link lan=10.0.0.1", help: "make a new cluster with this node", run: (*Shell).cmdInit},
		{name: "join", args: "TOKEN [--node NAME] [--link LINK=ADDRESS ...] [--witness]", example: "crm cluster join TOKEN --node beta --link lan=10.0.0.2",
			help: "join a cluster with a token that \"cluster token create\" made there", run: (*Shell).cmdJoin},
		{name: "token", args: "create [NODE] [--lifetime TIME] | list | revoke ID", example: "crm cluster token create beta", help: "make, list or revoke join tokens", run: (*Shell).cmdToken},
		{name: "start", help: "start the daemon on this node", run: (*Shell).cmdStart},
		{name: "stop", help: "move everything away from this node and stop its daemon", run: (*Shell).cmdStop},
		{name: "restart", help: "stop and start the daemon on this node", run: (*Shell).cmdRestart},
		{name: "status", help: "show this node's view: leader, quorum, members, links", run: (*Shell).cmdClusterStatus},
		{name: "health", help: "check members, links, quorum, clocks, certificates and disk; the exit code says whether all is well", run: (*Shell).cmdHealth},
		{name: "remove", args: "NODE", example: "crm cluster remove gamma", help: "remove a node from the cluster for good", run: (*Shell).cmdRemove},
		{name: "recover", args: "NODE ...", example: "crm cluster recover beta", help: "without a majority: go on with this node alone; NODEs are all voters that are away, and you vouch that they are off", run: (*Shell).cmdRecover},
		{name: "leave", help: "remove this node from the cluster and stop its daemon", run: (*Shell).cmdLeave},
		{name: "wait_for_startup", aliases: []string{"wait-for-startup"}, args: "[SECONDS]", example: "crm cluster wait_for_startup 120", help: "wait until the cluster answers and has quorum", run: (*Shell).cmdWaitStartup},
		{name: "name", help: "print the name of the cluster", run: (*Shell).cmdClusterName},
		{name: "rename", args: "NAME", example: "crm cluster rename web", help: "give the cluster another name", run: (*Shell).cmdClusterRename},
		{name: "enable", help: "start the daemon at boot", run: (*Shell).cmdEnable},
		{name: "disable", help: "do not start the daemon at boot", run: (*Shell).cmdEnable},
	}, replacedCluster()...)}
}

// apiTime bounds one request to the daemon that is answered from its memory.
const apiTime = 30 * time.Second

// joining is what init and join take.
type joining struct {
	name, node, config string
	links              []api.Link
	witness            bool
	lifetime           time.Duration
	rest               []string
}

func (c *call) joining() (*joining, error) {
	j := &joining{}
	for i := 0; i < len(c.args); i++ {
		a := c.args[i]
		name, value, has := strings.Cut(a, "=")
		switch name {
		case "--name", "--node", "--link", "--config", "--lifetime":
			if !has {
				if i+1 >= len(c.args) {
					return nil, c.usage("%s needs a value", a)
				}
				i++
				value = c.args[i]
			}
		case "--witness":
			j.witness = true
			continue
		default:
			if strings.HasPrefix(a, "-") {
				return nil, c.usage("%q is not known", a)
			}
			j.rest = append(j.rest, a)
			continue
		}
		switch name {
		case "--name":
			j.name = value
		case "--node":
			j.node = value
		case "--config":
			j.config = value
		case "--lifetime":
			d, err := time.ParseDuration(value)
			if err != nil || d <= 0 {
				return nil, c.usage("%q is no time, such as 15m", value)
			}
			j.lifetime = d
		case "--link":
			link, address, ok := strings.Cut(value, "=")
			if !ok || link == "" || address == "" {
				return nil, c.usage("--link %q: the form is LINK=ADDRESS, such as lan=10.0.0.1", value)
			}
			j.links = append(j.links, api.Link{Name: link, Address: address})
		}
	}
	return j, nil
}

// complete fills in the name and the address of this machine where they are not given.
func (j *joining) complete() error {
	if j.node == "" {
		host, err := os.Hostname()
		if err != nil {
			return err
		}
		j.node, _, _ = strings.Cut(host, ".")
	}
	if len(j.links) > 0 {
		return nil
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	var found []string
	for _, a := range addresses {
		if n, ok := a.(*net.IPNet); ok && n.IP.IsGlobalUnicast() {
			found = append(found, n.IP.String())
		}
	}
	if len(found) != 1 {
		return fmt.Errorf("this machine has the addresses %s: say which is to be used, with --link lan=ADDRESS", strings.Join(found, ", "))
	}
	j.links = []api.Link{{Name: "lan", Address: found[0]}}
	return nil
}

func (s *Shell) cmdInit(c *call) error {
	j, err := c.joining()
	if err != nil {
		return err
	}
	if len(j.rest) > 0 {
		return c.usage("%q is too much", j.rest[0])
	}
	if j.name == "" {
		return c.usage("the cluster needs a name: --name NAME")
	}
	if err := j.complete(); err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	req := api.InitRequest{Cluster: j.name, Node: j.node, Links: j.links, Witness: j.witness}
	if j.config != "" {
		doc, err := s.readConfig(c.ctx, j.config)
		if err != nil {
			return err
		}
		req.Config = cibxml.Write(doc, cibxml.Options{NoStatus: true})
	}
	if err := cl.Init(c.ctx, req); err != nil {
		return explain(err)
	}
	s.printf("Cluster %s is made; %s is its first node.\n", j.name, j.node)
	return nil
}

func (s *Shell) cmdJoin(c *call) error {
	j, err := c.joining()
	if err != nil {
		return err
	}
	if len(j.rest) != 1 {
		return c.usage("the token is missing; \"crm cluster token create\" on a node of the cluster makes one")
	}
	token := j.rest[0]
	if token == "-" {
		data, err := s.readInput("-")
		if err != nil {
			return err
		}
		token = strings.TrimSpace(string(data))
	}
	if err := j.complete(); err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	if err := cl.Join(c.ctx, api.JoinRequest{Token: token, Node: j.node, Links: j.links, Witness: j.witness}); err != nil {
		return explain(err)
	}
	s.printf("%s has joined the cluster.\n", j.node)
	return nil
}

func (s *Shell) cmdToken(c *call) error {
	j, err := c.joining()
	if err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	what := "create"
	if len(j.rest) > 0 {
		what, j.rest = j.rest[0], j.rest[1:]
	}
	switch what {
	case "create":
		req := api.TokenRequest{Lifetime: int64(j.lifetime / time.Second)}
		switch len(j.rest) {
		case 0:
		case 1:
			req.Node = j.rest[0]
		default:
			return c.usage("%q is too much", j.rest[1])
		}
		reply, err := cl.Token(c.ctx, req)
		if err != nil {
			return explain(err)
		}
		s.printf("%s\n", reply.Token)
		if s.interactive {
			s.info("it is shown once and lasts until %s", reply.Expires.Local().Format(time.DateTime))
		}
		return nil
	case "list":
		st, err := cl.State(c.ctx, false)
		if err != nil {
			return explain(err)
		}
		rows := [][]string{{"ID", "NODE", "EXPIRES", "BY"}}
		for _, t := range st.Tokens {
			if t.Used != "" {
				continue
			}
			node := t.Node
			if node == "" {
				node = "(any)"
			}
			rows = append(rows, []string{t.ID, node, time.Unix(t.Expires, 0).Format(time.DateTime), t.Actor})
		}
		s.table(rows)
		return nil
	case "revoke":
		if len(j.rest) != 1 {
			return c.usage("the id of the token is missing; \"token list\" shows them")
		}
		_, err := cl.Propose(c.ctx, &command.Entry{Kind: command.KindTokenDrop, TokenDrop: &command.TokenDrop{ID: j.rest[0]}})
		return explain(err)
	}
	return c.usage("%q is none of create, list, revoke", what)
}

func (s *Shell) cmdStart(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	if _, err := cl.Local(c.ctx); err == nil {
		s.info("the daemon runs already on this node")
		return nil
	}
	return systemctl(c.ctx, "start")
}

func (s *Shell) cmdStop(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	if err := cl.Stop(c.ctx); err != nil {
		if errors.Is(err, client.ErrNotRunning) {
			s.info("the daemon does not run on this node")
			return nil
		}
		return explain(err)
	}
	s.info("this node stops: its resources move first")
	return nil
}

// pollTime is how often a state is asked for that no request waits for.
const pollTime = 50 * time.Millisecond

// waitGone waits until the daemon no longer answers.
func (s *Shell) waitGone(ctx context.Context, cl *client.Client) error {
	ctx, cancel := context.WithTimeout(ctx, waitTime)
	defer cancel()
	return poll(ctx, func() (bool, error) {
		_, err := cl.Local(ctx)
		return errors.Is(err, client.ErrNotRunning), nil
	})
}

// poll asks again until done or the context ends.
func poll(ctx context.Context, f func() (done bool, err error)) error {
	tick := time.NewTicker(pollTime)
	defer tick.Stop()
	for {
		done, err := f()
		if done || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

func (s *Shell) cmdRestart(c *call) error {
	cl, err := s.live()
	if err != nil {
		return err
	}
	if err := s.cmdStop(c); err != nil {
		return err
	}
	if err := s.waitGone(c.ctx, cl); err != nil {
		return fmt.Errorf("the daemon does not stop: %w", err)
	}
	return systemctl(c.ctx, "start")
}

func (s *Shell) local(ctx context.Context) (*client.Client, *api.Local, error) {
	cl, err := s.live()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, apiTime)
	defer cancel()
	l, err := cl.Local(ctx)
	return cl, l, explain(err)
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

func (s *Shell) cmdClusterStatus(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	_, l, err := s.local(c.ctx)
	if err != nil {
		return err
	}
	if l.ClusterID == "" && l.Cluster == "" {
		s.printf("The daemon runs (version %s). This node is in no cluster yet: crm cluster init, or crm cluster join TOKEN.\n", l.Version)
		return nil
	}
	s.printf("Cluster:  %s\nNode:     %s (%s)\nLeader:   %s\nQuorum:   %s\nVoters:   %s\n", l.Cluster, l.Node, orNone(l.Role), orNone(l.Leader), yesNo(l.Quorate), orNone(strings.Join(l.Voters, " ")))
	if l.Waits != "" {
		s.printf("Waits:    %s\n", l.Waits)
	}
	if len(l.Learners) > 0 {
		s.printf("Learners: %s\n", strings.Join(l.Learners, " "))
	}
	if len(l.Peers) > 0 {
		rows := [][]string{{"PEER", "STATE", "LINK", "ADDRESS", "LINK STATE", "LATENCY", "LOSS"}}
		for _, p := range l.Peers {
			if len(p.Links) == 0 {
				rows = append(rows, []string{p.Node, p.State})
			}
			for i, k := range p.Links {
				name, state := p.Node, p.State
				if i > 0 {
					name, state = "", ""
				}
				rows = append(rows, []string{name, state, k.Link, k.Address, k.State, k.Latency.Round(time.Microsecond).String(), fmt.Sprintf("%.1f %%", 100*k.Loss)})
			}
		}
		s.printf("\n")
		s.table(rows)
	}
	for _, w := range l.Warnings {
		s.warn("%s", w)
	}
	return nil
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

func (s *Shell) cmdHealth(c *call) error {
	_, l, err := s.local(c.ctx)
	if err != nil {
		return err
	}
	var bad []error
	if l.ClusterID == "" && l.Cluster == "" {
		return errors.New("this node is in no cluster")
	}
	if !l.Quorate {
		bad = append(bad, fmt.Errorf("there is no quorum, so nothing is started or promoted: %s", l.Waits))
	}
	if l.Leader == "" {
		bad = append(bad, errors.New("there is no leader"))
	}
	for _, p := range l.Peers {
		if p.State == "left" {
			bad = append(bad, fmt.Errorf("node %s has left in order and is stopped", p.Node))
			continue
		}
		if p.State != "reachable" {
			bad = append(bad, fmt.Errorf("node %s is %s", p.Node, p.State))
			continue
		}
		for _, k := range p.Links {
			if k.State != "up" {
				bad = append(bad, fmt.Errorf("link %s to %s (%s) is %s", k.Link, p.Node, k.Address, k.State))
			}
		}
	}
	for _, w := range l.Warnings {
		bad = append(bad, errors.New(w))
	}
	if l.Decision != "" {
		bad = append(bad, fmt.Errorf("the last decision failed: %s", l.Decision))
	}
	s.showHealth(l)
	if len(bad) > 0 {
		return &errorList{bad}
	}
	s.printf("All is well: %s is quorate, peers reachable on all links: %d.\n", l.Cluster, len(l.Peers))
	return nil
}

// showHealth prints what the node says of its keys, its disk, the links and the clocks of the others.
func (s *Shell) showHealth(l *api.Local) {
	if h := l.Health; h != nil {
		s.printf("Certificates: until %s, renewed on %s\n", h.CertificateEnds.Local().Format(time.DateOnly), h.CertificateRenew.Local().Format(time.DateOnly))
		s.printf("CA key:       %s\n", map[bool]string{true: "here", false: "not here (voters have it)"}[h.Authority])
		s.printf("Disk:         %d of %d MiB free\n", h.DiskFree>>20, h.DiskSize>>20)
	}
	if len(l.Peers) == 0 {
		return
	}
	rows := [][]string{{"PEER", "STATE", "LINKS", "CLOCK"}}
	for _, p := range l.Peers {
		clock := "unknown"
		if p.ClockAhead != nil {
			clock = fmt.Sprintf("%+.3fs", p.ClockAhead.Seconds())
		}
		var links []string
		for _, k := range p.Links {
			links = append(links, k.Link+" "+k.State)
		}
		rows = append(rows, []string{p.Node, p.State, strings.Join(links, ", "), clock})
	}
	s.table(rows)
}

func (s *Shell) cmdRemove(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	if s.interactive && !s.confirm(fmt.Sprintf("Remove node %s from the cluster for good?", c.args[0])) {
		return nil
	}
	_, err = cl.Propose(c.ctx, &command.Entry{Kind: command.KindMemberRemove, MemberRemove: &command.MemberRemove{Name: c.args[0]}})
	return explain(err)
}

func (s *Shell) cmdRecover(c *call) error {
	if len(c.args) == 0 {
		return c.usage("name the nodes that are off")
	}
	cl, _, err := s.local(c.ctx)
	if err != nil {
		return err
	}
	names := strings.Join(c.args, ", ")
	if s.interactive && !s.confirm(fmt.Sprintf("Are %s really off? What only they know is lost, and their resources start here at once", names)) {
		return nil
	}
	reply, err := cl.Recover(c.ctx, api.RecoverRequest{Dead: c.args})
	if err != nil {
		return explain(err)
	}
	if !reply.Remove {
		return nil
	}
	// They could go on with what they have stored. Once they are removed they are refused, and end.
	ctx, cancel := context.WithTimeout(c.ctx, apiTime)
	defer cancel()
	for _, name := range c.args {
		var last error
		err := poll(ctx, func() (bool, error) { // refused until the cluster has recorded that the node is off
			_, last = cl.Propose(ctx, &command.Entry{Kind: command.KindMemberRemove, MemberRemove: &command.MemberRemove{Name: name}})
			return last == nil, nil
		})
		if err != nil {
			err = cmp.Or(last, err)
			return fmt.Errorf("this node goes on, but %s is not removed: %w; do it with: crm cluster remove %[1]s", name, explain(err))
		}
	}
	s.printf("%s: removed from the cluster. Before such a machine is started again, empty its state folder; then join it with a new token.\n", names)
	return nil
}

func (s *Shell) cmdLeave(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	cl, l, err := s.local(c.ctx)
	if err != nil {
		return err
	}
	if s.interactive && !s.confirm("Remove this node from the cluster for good?") {
		return nil
	}
	_, err = cl.Propose(c.ctx, &command.Entry{Kind: command.KindMemberRemove, MemberRemove: &command.MemberRemove{Name: l.Node}})
	if err == nil {
		err = cl.Stop(c.ctx)
	}
	// The daemon ends by itself when it sees or hears of its removal, so either request may find it gone.
	if err != nil {
		ctx, cancel := context.WithTimeout(c.ctx, leaveTime)
		defer cancel()
		if poll(ctx, func() (bool, error) { _, gone := cl.Local(ctx); return errors.Is(gone, client.ErrNotRunning), nil }) != nil {
			return explain(err)
		}
	}
	s.info("this node has left the cluster; empty its state folder before it joins one again")
	return nil
}

// leaveTime is how long a daemon may take to end after its node was removed.
const leaveTime = 10 * time.Second

func (s *Shell) cmdWaitStartup(c *call) error {
	if err := c.want(0, 1); err != nil {
		return err
	}
	limit := time.Minute
	if len(c.args) == 1 {
		d, err := parseWait(c.args[0])
		if err != nil {
			return c.usage("%v", err)
		}
		limit = d
	}
	cl, err := s.live()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(c.ctx, limit)
	defer cancel()
	why := error(client.ErrNotRunning)
	if err := poll(ctx, func() (bool, error) {
		l, err := cl.Local(ctx)
		switch {
		case err != nil:
			why = err
		case l.Leader == "" || !l.Quorate:
			why = errors.New("there is no quorum yet")
		default:
			return true, nil
		}
		return false, nil
	}); err != nil {
		return fmt.Errorf("waited %v: %w", limit, why)
	}
	return nil
}

func (s *Shell) cmdClusterName(c *call) error {
	_, l, err := s.local(c.ctx)
	if err != nil {
		return err
	}
	s.printf("%s\n", l.Cluster)
	return nil
}

func (s *Shell) cmdClusterRename(c *call) error {
	if err := c.want(1, 1); err != nil {
		return err
	}
	if !cib.ValidName(c.args[0]) {
		return c.usage("%q cannot be a name: letters, digits, dot, dash and underscore", c.args[0])
	}
	return s.setProperty(c, "cluster-name", c.args[0])
}

func (s *Shell) cmdEnable(c *call) error {
	if err := c.want(0, 0); err != nil {
		return err
	}
	return systemctl(c.ctx, c.cmd.name)
}

// table prints rows in columns; the first row is the head.
func (s *Shell) table(rows [][]string) {
	var width []int
	for _, r := range rows {
		for i, cell := range r {
			if i == len(width) {
				width = append(width, 0)
			}
			width[i] = max(width[i], len([]rune(cell)))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		for i, cell := range r {
			b.WriteString(cell)
			if i < len(r)-1 {
				b.WriteString(strings.Repeat(" ", width[i]-len([]rune(cell))+2))
			}
		}
		s.printf("%s\n", strings.TrimRight(b.String(), " "))
	}
}
