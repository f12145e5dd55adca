// Package acl answers one question: may this identity do this to that object? Every request of every client
// asks it, the shell's included, and the answer without a rule is no.
//
// The package is pure. The identity comes from the kernel (credentials of the socket's peer) or from a
// verified certificate, never from the request.
package acl

import (
	"fmt"
	"slices"
)

// Verb is something that a request asks to do. The set is closed: see Verbs.
type Verb string

// Verbs of requests.
const (
	StatusRead     Verb = "status:read"    // state of nodes, resources, links; no parameters of resources
	ConfigRead     Verb = "config:read"    // the configuration, with parameters
	ConfigWrite    Verb = "config:write"   // change of the configuration
	NodeAttribute  Verb = "node:attribute" // transient node attributes
	HistoryForget  Verb = "history:forget" // cleanup and refresh
	FenceRequest   Verb = "fence:request"  // have a node fenced
	FenceConfirm   Verb = "fence:confirm"  // vouch that a node is down
	TicketWrite    Verb = "ticket:write"
	MemberRemove   Verb = "member:remove"
	MemberStop     Verb = "member:stop" // stop the daemon of this node in order
	TokenIssue     Verb = "token:issue"
	TokenRevoke    Verb = "token:revoke"
	SecretWrite    Verb = "secret:write"    // store and remove secrets that parameters refer to
	ClusterFeature Verb = "cluster:feature" // raise the feature level
	ClusterInit    Verb = "cluster:init"    // make or join a cluster on a node that has none
	AgentRead      Verb = "agent:read"      // metadata and lists of agents
	AgentRun       Verb = "agent:run"       // run an operation of a resource by hand
	AuditRead      Verb = "audit:read"
)

// Verbs lists every verb with what it covers. A verb without a row here is refused to everybody.
var Verbs = []struct {
	Verb Verb
	Help string
	Read bool // members of the read-only group may
}{
	{StatusRead, "see the state of nodes, resources and links", true},
	{ConfigRead, "see the configuration", true},
	{ConfigWrite, "change the configuration", false},
	{NodeAttribute, "set transient node attributes", false},
	{HistoryForget, "forget failures and operation history", false},
	{FenceRequest, "have a node fenced", false},
	{FenceConfirm, "confirm that a node is down", false},
	{TicketWrite, "grant, revoke and change tickets", false},
	{MemberRemove, "remove a node from the cluster", false},
	{MemberStop, "stop the cluster on this node", false},
	{TokenIssue, "issue a join token", false},
	{TokenRevoke, "revoke a join token", false},
	{SecretWrite, "store and remove secrets", false},
	{ClusterFeature, "raise the feature level", false},
	{ClusterInit, "make or join a cluster", false},
	{AgentRead, "read agents' metadata", true},
	{AgentRun, "run an agent by hand", false},
	{AuditRead, "read the audit log", false},
}

// Identity is who asks, by numbers that the kernel gave.
type Identity struct {
	UID, GID uint32
	Groups   []uint32 // supplementary groups
	PID      int32
}

// String names the identity for records: "uid:0".
func (id Identity) String() string { return fmt.Sprintf("uid:%d", id.UID) }

// overflowID is what the kernel shows for a user of another user namespace.
const overflowID = 65534

// Policy is who may do what.
type Policy struct {
	Admins     []uint32 // uids that may do everything: root, and the daemon's own without root
	ReadGroups []uint32 // gids that may read
}

// DeniedError refuses a request.
type DeniedError struct {
	Identity Identity
	Verb     Verb
}

// Error implements error.
func (e *DeniedError) Error() string {
	help := "do that"
	for _, v := range Verbs {
		if v.Verb == e.Verb {
			help = v.Help
		}
	}
	return fmt.Sprintf("%s may not %s (%s): ask the cluster's administrator, or run it as root", e.Identity, help, e.Verb)
}

// Authorize returns nil when id may do verb, else a *DeniedError.
func (p *Policy) Authorize(id Identity, verb Verb) error {
	denied := &DeniedError{Identity: id, Verb: verb}
	i := slices.IndexFunc(Verbs, func(v struct {
		Verb Verb
		Help string
		Read bool
	}) bool {
		return v.Verb == verb
	})
	if i < 0 || id.UID == overflowID {
		return denied
	}
	if slices.Contains(p.Admins, id.UID) {
		return nil
	}
	if !Verbs[i].Read {
		return denied
	}
	if slices.Contains(p.ReadGroups, id.GID) {
		return nil
	}
	for _, g := range id.Groups {
		if slices.Contains(p.ReadGroups, g) {
			return nil
		}
	}
	return denied
}
