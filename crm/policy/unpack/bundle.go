package unpack

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/quorate/quorate/crm/cib"
	"github.com/quorate/quorate/crm/policy/model"
	"github.com/quorate/quorate/crm/policy/values"
)

// Where the software inside and outside of a container expects its files; fixed by the container images
// of the field.
const (
	remoteServer   = "/usr/sbin/pacemaker-remoted"
	remotePort     = "3121"
	authKeyFile    = "/etc/pacemaker/authkey"
	bundleLogs     = "/var/log/pacemaker/bundles"
	hostAddress    = "#uname" // address of a connection that shares its host's network
	innerNodeScore = 500      // score of an inner instance on its own bundle node
)

// bundlePlan is a bundle's configuration, parsed.
type bundlePlan struct {
	engine, image, runCommand, options, network string
	promotedMax, replicas, perHost              int
	ipStart, netmask, iface, controlPort        string
	addHosts                                    bool
	ports                                       []cib.PortMapping
	storage                                     []cib.StorageMapping
}

func attr(list []cib.Attr, names ...string) (string, bool) {
	for _, name := range names {
		for i := range list {
			if list[i].Name == name {
				return list[i].Value, true
			}
		}
	}
	return "", false
}

// number reads an integer that is at least least and, at most, maxReplicas; anything else is def.
func number(text string, least, def int) int {
	n, ok := values.Integer(text)
	if !ok || n < int64(least) {
		return def
	}
	return int(min(n, maxReplicas))
}

// plan reads a bundle's container, network and storage (spec/01-inputs.md 6.6).
func (u *unpacker) plan(cfg *cib.Resource) (*bundlePlan, error) {
	spec := cfg.Bundle
	if spec == nil || (spec.Engine != "docker" && spec.Engine != "podman") {
		return nil, fmt.Errorf("bundle %q has no docker and no podman element", cfg.ID)
	}
	p := &bundlePlan{engine: spec.Engine, addHosts: true, netmask: "32"}
	p.image, _ = attr(spec.Attributes, "image")
	p.runCommand, _ = attr(spec.Attributes, "run-command")
	p.options, _ = attr(spec.Attributes, "options")
	p.network, _ = attr(spec.Attributes, "network")
	if v, set := attr(spec.Attributes, "promoted-max", "masters"); set {
		p.promotedMax = number(v, 0, 0)
	}
	p.replicas = 1
	if p.promotedMax > 0 {
		p.replicas = p.promotedMax
	}
	if v, set := attr(spec.Attributes, "replicas"); set {
		p.replicas = number(v, 1, 1)
	}
	p.perHost = 1
	if v, set := attr(spec.Attributes, "replicas-per-host"); set {
		p.perHost = number(v, 1, 1)
	}
	if spec.HasNetwork {
		p.ipStart, _ = attr(spec.Network, "ip-range-start")
		p.controlPort, _ = attr(spec.Network, "control-port")
		p.iface, _ = attr(spec.Network, "host-interface")
		if v, set := attr(spec.Network, "host-netmask"); set && v != "" {
			p.netmask = v
		}
		if v, set := attr(spec.Network, "add-host"); set {
			p.addHosts = values.True(v)
		}
		for _, m := range spec.Ports {
			if m.Port == "" {
				m.Port, m.InternalPort = m.Range, m.Range
			}
			if m.InternalPort == "" {
				m.InternalPort = m.Port
			}
			if m.Port != "" {
				p.ports = append(p.ports, m)
			}
		}
	}
	p.storage = slices.Clone(spec.Storage)
	if p.ipStart == "" && p.controlPort != "" && p.perHost > 1 {
		u.warnf("bundle %q: replicas that share a host's network need control-port for each host, so replicas-per-host is 1", cfg.ID)
		p.perHost = 1
	}
	return p, nil
}

// bundle makes the parts of a bundle (spec/01-inputs.md 6.6).
func (u *unpacker) bundle(r *model.Resource) error {
	cfg := r.Config
	p, err := u.plan(cfg)
	if err != nil {
		return err
	}
	var inner *cib.Resource
	for _, m := range cfg.Members {
		if m.Kind == cib.Primitive {
			inner = m
			break
		}
	}
	if inner != nil && p.ipStart == "" && p.controlPort == "" {
		return fmt.Errorf("bundle %q contains %q, so it needs ip-range-start or control-port to reach it", cfg.ID, inner.ID)
	}
	b := &model.Bundle{Spec: cfg.Bundle, PromotedMax: p.promotedMax, PerHost: p.perHost, Unique: p.perHost > 1, Image: p.image}
	r.Bundle, r.Unique = b, b.Unique
	u.applyTargetRole(r)

	var utilization []cib.AttributeSet
	if inner != nil {
		x, err := u.withTemplate(inner)
		if err != nil {
			return err
		}
		own := *x
		utilization, own.Utilization, own.Template = own.Utilization, nil, ""
		inner = &own
		b.Inner, err = u.expand(p.innerClone(cfg.ID, inner), r, "")
		if err != nil {
			return err
		}
		if v := b.Inner.Meta["container-attribute-target"]; v != "" {
			r.Meta["container-attribute-target"] = v
			r.AttributeTargetHost = strings.EqualFold(v, "host")
		}
		if port := p.controlPort; port != "" {
			p.ports = append(p.ports, cib.PortMapping{Port: port, InternalPort: port})
		} else {
			p.ports = append(p.ports, cib.PortMapping{Port: remotePort, InternalPort: remotePort})
		}
	}
	for n := range p.replicas {
		b.Replicas = append(b.Replicas, &model.Replica{Number: n, Bundle: r})
	}
	if p.ipStart != "" {
		address := p.ipStart
		for _, rep := range b.Replicas {
			rep.Address = address
			address = nextAddress(address)
		}
	}
	var hosts strings.Builder
	if p.addHosts && p.ipStart != "" {
		for _, rep := range b.Replicas {
			hosts.WriteString(" --add-host=" + cfg.ID + "-" + itoa(rep.Number) + ":" + rep.Address)
		}
	}
	for _, rep := range b.Replicas {
		if err := u.replica(r, rep, p, inner, utilization, hosts.String()); err != nil {
			return err
		}
	}
	if b.Inner != nil {
		r.Children = append(r.Children, b.Inner)
	}
	return nil
}

// innerClone is the implicit clone around the inner primitive.
func (p *bundlePlan) innerClone(id string, inner *cib.Resource) *cib.Resource {
	name := id + "-clone"
	meta := []cib.NVPair{
		pair("ordered", "true"),
		pair("clone-max", itoa(p.replicas)),
		pair("clone-node-max", itoa(p.perHost)),
		pair("globally-unique", strconv.FormatBool(p.perHost > 1)),
	}
	if p.promotedMax > 0 {
		name = id + "-master"
		meta = append(meta, pair("promotable", "true"), pair("promoted-max", itoa(p.promotedMax)))
	}
	for _, want := range [...]string{"notify", "container-attribute-target"} {
		for i := range inner.Meta {
			for _, pr := range inner.Meta[i].Pairs {
				if pr.Name == want {
					meta = append(meta, pair(want, pr.Value))
				}
			}
		}
	}
	return &cib.Resource{Kind: cib.Clone, ID: name, Meta: block(meta...), Members: []*cib.Resource{inner}}
}

// nextAddress counts an IPv4 address up: the last octet goes from 254 to 1 of the next third octet. Other
// addresses count in their last digits.
func nextAddress(address string) string {
	var o [4]int
	parts := strings.Split(address, ".")
	if len(parts) == 4 {
		for i, text := range parts {
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n > 255 {
				return address
			}
			o[i] = n
		}
		o[3]++
		if o[3] > 254 {
			o[3] = 1
			o[2]++
		}
		return fmt.Sprintf("%d.%d.%d.%d", o[0], o[1], o[2]%256, o[3])
	}
	at := strings.LastIndexByte(address, ':')
	if at < 0 {
		return address
	}
	n, err := strconv.ParseUint(address[at+1:], 16, 32)
	if err != nil {
		return address
	}
	return address[:at+1] + strconv.FormatUint(n+1, 16)
}

// replica makes the parts of one replica: container, address, connection with its node.
func (u *unpacker) replica(r *model.Resource, rep *model.Replica, p *bundlePlan, inner *cib.Resource,
	utilization []cib.AttributeSet, hosts string) error {
	c := u.c
	number := itoa(rep.Number)
	containerID := r.ID + "-" + p.engine + "-" + number
	hostname := r.ID + "-" + number

	container, err := u.part(r, rep, p.container(containerID, hostname, rep, inner != nil, hosts, utilization))
	if err != nil {
		return err
	}
	rep.Container = container
	if rep.Address != "" {
		params := []cib.NVPair{pair("ip", rep.Address), pair("cidr_netmask", p.netmask)}
		if p.iface != "" {
			params = append(params, pair("nic", p.iface))
		}
		rep.IP, err = u.part(r, rep, &cib.Resource{
			Kind: cib.Primitive, ID: r.ID + "-ip-" + rep.Address, Class: "ocf", Provider: "heartbeat", Type: "IPaddr2",
			Params: block(params...), Operations: every("60s", ""),
		})
		if err != nil {
			return err
		}
	}
	if inner == nil {
		return nil
	}

	name := hostname
	if c.Resource(name) != nil {
		name = "pcmk-internal-" + inner.ID + "-remote-" + number
	}
	node := c.NodeByName(name)
	if node == nil {
		node = u.addNode(name, name, model.BundleNode, model.MinInfinity)
		u.siteName(node)
	} else {
		setKind(node, model.BundleNode)
		node.Score, node.Unclean = model.MinInfinity, false
	}
	for _, x := range c.All {
		x.Allowed = x.Allowed.Grow(c.NodeCount())
		if e := &x.Allowed[node.Index]; e.Present && !e.Hidden {
			e.Score = model.MinInfinity // a configured node that x knew already
		} else {
			*e = bundleNodeEntry
		}
	}
	if in := r.Bundle.Inner; in != nil {
		e := &in.Allowed[node.Index] // its instances do run there
		e.Discovery, e.Hidden = model.DiscoverAlways, false
	}
	rep.Node = node

	address := rep.Address
	if address == "" {
		address = hostAddress
	}
	port := p.controlPort
	if port == "" {
		port = remotePort
	}
	rep.Connection, err = u.part(r, rep, &cib.Resource{
		Kind: cib.Primitive, ID: name, Class: "ocf", Provider: "pacemaker", Type: "remote",
		Meta:       block(pair("container", containerID), pair("internal_rsc", "true")),
		Params:     block(pair("addr", address), pair("port", port)),
		Operations: every("30s", "30s"),
	})
	if err != nil {
		return err
	}
	if rep.Number < len(r.Bundle.Inner.Children) {
		rep.Inner = r.Bundle.Inner.Children[rep.Number]
		rep.Inner.Replica = rep
		rep.Inner.ExclusiveDiscovery = true
		table := make(model.Table, c.NodeCount())
		table[node.Index] = model.Entry{Score: innerNodeScore, Discovery: model.DiscoverExclusive, Present: true}
		rep.Inner.Allowed = table
	}
	return nil
}

// part makes one primitive of a replica.
func (u *unpacker) part(r *model.Resource, rep *model.Replica, cfg *cib.Resource) (*model.Resource, error) {
	x, err := u.expand(cfg, r, "")
	if err != nil {
		return nil, err
	}
	x.Replica = rep
	r.Children = append(r.Children, x)
	return x, nil
}

// every is an operations element with one recurring monitor.
func every(interval, timeout string) cib.Operations {
	op := cib.Operation{Name: "monitor", Interval: interval}
	if timeout != "" {
		op.Extra = []cib.Attr{{Name: "timeout", Value: timeout}}
	}
	return cib.Operations{List: []cib.Operation{op}}
}

// container is the primitive that runs one container.
func (p *bundlePlan) container(id, hostname string, rep *model.Replica, contains bool, hosts string,
	utilization []cib.AttributeSet) *cib.Resource {
	var opts, mounts strings.Builder
	if p.engine == "docker" {
		opts.WriteString(" --restart=no")
	}
	if rep.Address != "" {
		opts.WriteString(" -h " + hostname)
	}
	opts.WriteString(" -e PCMK_stderr=1")
	if p.network != "" {
		opts.WriteString(" --net=" + p.network)
	}
	port := p.controlPort
	if port == "" {
		port = remotePort
	}
	opts.WriteString(" -e PCMK_remote_port=" + port)
	mount := func(source, target, options string) {
		opts.WriteString(" -v " + source + ":" + target)
		if options != "" {
			opts.WriteString(":" + options)
		}
	}
	made := func(dir string) {
		if mounts.Len() > 0 {
			mounts.WriteByte(',')
		}
		mounts.WriteString(dir)
	}
	for _, s := range p.storage {
		source := s.SourceDir
		if source == "" {
			source = s.SourceDirRoot + "/" + hostname
			made(source)
		}
		mount(source, s.TargetDir, s.Options)
	}
	if contains {
		mount(authKeyFile, authKeyFile, "")
		made(bundleLogs + "/" + hostname)
		mount(bundleLogs+"/"+hostname, "/var/log", "")
	}
	for _, m := range p.ports {
		if rep.Address != "" {
			opts.WriteString(" -p " + rep.Address + ":" + m.Port + ":" + m.InternalPort)
		} else if p.network != "host" {
			opts.WriteString(" -p " + m.Port + ":" + m.InternalPort)
		}
	}
	if p.options != "" {
		opts.WriteString(" " + p.options)
	}
	opts.WriteString(" " + hosts)

	params := []cib.NVPair{
		pair("image", p.image), pair("allow_pull", "true"), pair("force_kill", "false"), pair("reuse", "false"),
		pair("run_opts", opts.String()), pair("mount_points", mounts.String()),
		// A contained resource is monitored on its own; here it only matters that the container is up.
		pair("monitor_cmd", "/bin/true"),
	}
	switch {
	case p.runCommand != "":
		params = append(params, pair("run_cmd", p.runCommand))
	case contains:
		params = append(params, pair("run_cmd", remoteServer))
	}
	return &cib.Resource{
		Kind: cib.Primitive, ID: id, Class: "ocf", Provider: "heartbeat", Type: p.engine,
		Params: block(params...), Utilization: utilization, Operations: every("60s", ""),
	}
}
