package agents

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Limits of a request. execve takes 128 KiB a variable and some megabytes in all; these stay well below.
const (
	MaxRequestID  = 256
	MaxParameters = 1024
	MaxValue      = 64 << 10
	MaxValues     = 512 << 10 // of all names and values together
	// MaxTimeout is the longest operation; times in the document are capped at 2^31-1 milliseconds.
	MaxTimeout = (1<<31 - 1) * time.Millisecond
)

// Request asks for one run of an operation. Params may hold secret references (ref:KIND:NAME), which the
// runner resolves; Meta holds meta-attributes by their names without CRM_meta_.
type Request struct {
	ID         string            `cbor:"1,keyasint"` // chosen by the sender, unique among its runs
	Resource   string            `cbor:"2,keyasint"` // instance name, "db" or "db:0"
	Agent      Ref               `cbor:"3,keyasint"`
	Operation  Operation         `cbor:"4,keyasint"`
	Interval   time.Duration     `cbor:"5,keyasint,omitempty"` // 0 = once
	Timeout    time.Duration     `cbor:"6,keyasint"`           // > 0
	Params     map[string]string `cbor:"7,keyasint,omitempty"`
	Meta       map[string]string `cbor:"8,keyasint,omitempty"`
	FeatureSet string            `cbor:"9,keyasint,omitempty"` // crm_feature_set
	Node       string            `cbor:"10,keyasint,omitempty"`
	// Sealed has, by name, the stored secrets that parameters refer to (ref:store:NAME), sealed for this node.
	Sealed map[string][]byte `cbor:"20,keyasint,omitempty"`
}

// Validate checks names, bounds and characters. A request that passes can be carried out without quoting
// anything.
func (r Request) Validate() error {
	if err := validateID(r.ID); err != nil {
		return err
	}
	if err := ValidateInstance(r.Resource); err != nil {
		return err
	}
	if err := r.Agent.Validate(); err != nil {
		return err
	}
	if err := r.Operation.Validate(); err != nil {
		return err
	}
	if r.Timeout <= 0 || r.Timeout > MaxTimeout {
		return fmt.Errorf("timeout %v: more than 0 and at most %v", r.Timeout, MaxTimeout)
	}
	if r.Interval < 0 || r.Interval > MaxTimeout {
		return fmt.Errorf("interval %v: 0 to %v", r.Interval, MaxTimeout)
	}
	if r.Node != "" {
		if err := ValidateName("node", r.Node); err != nil {
			return err
		}
	}
	if err := ValidateValue("crm_feature_set", r.FeatureSet); err != nil {
		return err
	}
	if n := len(r.Params) + len(r.Meta); n > MaxParameters {
		return fmt.Errorf("%d parameters: at most %d", n, MaxParameters)
	}
	total := 0
	for _, name := range slices.Sorted(maps.Keys(r.Params)) {
		if err := validateParameter(name); err != nil {
			return err
		}
		if err := ValidateValue("parameter "+name, r.Params[name]); err != nil {
			return err
		}
		total += len(name) + len(r.Params[name])
	}
	for _, name := range slices.Sorted(maps.Keys(r.Meta)) {
		if err := ValidateName("meta-attribute", name); err != nil {
			return err
		}
		if err := ValidateValue("meta-attribute "+name, r.Meta[name]); err != nil {
			return err
		}
		total += len(name) + len(r.Meta[name])
	}
	if total > MaxValues {
		return fmt.Errorf("parameters of %d bytes together: at most %d", total, MaxValues)
	}
	return nil
}

// validateID: printable ASCII without spaces, so that ids can stand in logs and records as they are.
func validateID(id string) error {
	if id == "" || len(id) > MaxRequestID {
		return fmt.Errorf("request id of %d bytes: 1 to %d: %w", len(id), MaxRequestID, ErrName)
	}
	for i := range len(id) {
		if id[i] <= ' ' || id[i] > '~' {
			return fmt.Errorf("request id %q: byte %d is not a printable ASCII character: %w", bounded(id), i+1, ErrName)
		}
	}
	return nil
}

// validateParameter refuses, besides malformed names, those that would shadow what the manager itself puts
// into the environment.
func validateParameter(name string) error {
	if err := ValidateName("parameter", name); err != nil {
		return err
	}
	if strings.HasPrefix(name, "CRM_meta_") || name == "crm_feature_set" {
		return fmt.Errorf("parameter %q: names beginning with CRM_meta_ and crm_feature_set belong to the cluster: %w", name, ErrName)
	}
	return nil
}

// ValidateValue refuses values that cannot stand in an environment; what names the value in the error. The
// value itself is not shown.
func ValidateValue(what, value string) error {
	if len(value) > MaxValue {
		return fmt.Errorf("%s has %d bytes: at most %d", what, len(value), MaxValue)
	}
	if i := strings.IndexByte(value, 0); i >= 0 {
		return fmt.Errorf("%s has a NUL byte at %d: not allowed in a parameter", what, i+1)
	}
	return nil
}

// SplitAttributes separates the attributes that a transition records with an action (spec/04-actions.md
// section 3.4) into parameters, meta-attributes without their prefix, and crm_feature_set.
func SplitAttributes(attributes map[string]string) (params, meta map[string]string, featureSet string) {
	params, meta = map[string]string{}, map[string]string{}
	for name, value := range attributes {
		if short, found := strings.CutPrefix(name, "CRM_meta_"); found {
			meta[short] = value
		} else if name == "crm_feature_set" {
			featureSet = value
		} else {
			params[name] = value
		}
	}
	return params, meta, featureSet
}

// Host is what the environment says of the machine and the installation; the runner's configuration, never
// the node process, gives it.
type Host struct {
	OCFRoot     string // OCF_ROOT, normally /usr/lib/ocf
	ToolDir     string // directory of the compatibility commands; first in PATH, and HA_SBIN_DIR
	Root        string // QUORATE_ROOT, "" = not set (standard folders)
	StateDir    string // HA_RSCTMP and HA_VARRUN: agents keep their pid and state files below; "" = the agents' own default
	Node        string // name of this node
	LogFile     string // HA_LOGFILE, "" = none
	LogFacility string // HA_LOGFACILITY, "" = daemon
	Debug       bool   // HA_debug and PCMK_debug
	Locale      string // LC_ALL, "" = C.UTF-8
}

// path is where agents find programs, after ToolDir. It is fixed: the path of whoever started the daemon
// says nothing about what agents need.
const path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// BaseEnvironment returns what every agent of every class gets, as a map.
func BaseEnvironment(host Host) map[string]string {
	env := map[string]string{
		"PATH":             path,
		"LC_ALL":           orElse(host.Locale, "C.UTF-8"),
		"HOME":             "/",
		"SHELL":            "/bin/sh",
		"HA_LOGD":          "no",
		"HA_LOGFACILITY":   orElse(host.LogFacility, "daemon"),
		"HA_logfacility":   orElse(host.LogFacility, "daemon"),
		"HA_cluster_type":  "corosync", // the type whose tools ours stand in for; agents compare it
		"PCMK_logfacility": orElse(host.LogFacility, "daemon"),
		"PCMK_service":     "quorated",
	}
	debug := "0"
	if host.Debug {
		debug = "1"
	}
	env["HA_debug"], env["PCMK_debug"] = debug, debug
	if host.ToolDir != "" {
		env["PATH"] = host.ToolDir + ":" + path
		env["HA_SBIN_DIR"] = host.ToolDir
	}
	if host.LogFile != "" {
		env["HA_LOGFILE"] = host.LogFile
		env["HA_DEBUGLOG"] = host.LogFile
		env["PCMK_logfile"] = host.LogFile
	}
	if host.StateDir != "" {
		env["HA_RSCTMP"] = host.StateDir
		env["HA_VARRUN"] = host.StateDir
	}
	if host.Root != "" {
		env["QUORATE_ROOT"] = host.Root
	}
	return env
}

// Environment returns the complete environment of an OCF agent for the request, as NAME=VALUE sorted by
// name. Nothing is inherited. The request must be valid and hold no unresolved secret references; secrets
// are passed in their own map and win over a parameter of the same name.
//
// The variables are those of the OCF resource agent standard 1.1, those that the agents of resource-agents
// use (agent-tools.md), and OCF_RESKEY_CRM_meta_NAME for every meta-attribute, with - as _.
func Environment(host Host, req Request, secrets map[string]Secret) []string {
	env := BaseEnvironment(host)
	env["OCF_ROOT"] = orElse(host.OCFRoot, "/usr/lib/ocf")
	env["OCF_RA_VERSION_MAJOR"] = "1"
	env["OCF_RA_VERSION_MINOR"] = "1"
	env["OCF_EXIT_REASON_PREFIX"] = ReasonPrefix
	env["OCF_RESOURCE_INSTANCE"] = req.Resource
	env["OCF_RESOURCE_TYPE"] = req.Agent.Type
	env["OCF_RESOURCE_PROVIDER"] = req.Agent.Provider
	node := orElse(req.Node, host.Node)
	if node != "" {
		env["OCF_RESKEY_CRM_meta_on_node"] = node
	}
	env["OCF_RESKEY_CRM_meta_timeout"] = milliseconds(req.Timeout)
	if req.Operation == OpMonitor || req.Interval > 0 {
		env["OCF_RESKEY_CRM_meta_interval"] = milliseconds(req.Interval)
	}
	env["OCF_RESKEY_CRM_meta_name"] = string(req.Operation)
	for name, value := range req.Meta {
		env["OCF_RESKEY_CRM_meta_"+strings.ReplaceAll(name, "-", "_")] = value
	}
	if req.FeatureSet != "" {
		env["OCF_RESKEY_crm_feature_set"] = req.FeatureSet
	}
	for name, value := range req.Params {
		env["OCF_RESKEY_"+name] = value
	}
	for name, secret := range secrets {
		env["OCF_RESKEY_"+name] = secret.Reveal()
	}
	if level, found := req.Params["OCF_CHECK_LEVEL"]; found {
		env["OCF_CHECK_LEVEL"] = level
	} else {
		env["OCF_CHECK_LEVEL"] = "0"
	}
	return FlattenEnvironment(env)
}

// FlattenEnvironment writes a map as NAME=VALUE, sorted by name.
func FlattenEnvironment(env map[string]string) []string {
	flat := make([]string, 0, len(env))
	for _, name := range slices.Sorted(maps.Keys(env)) {
		flat = append(flat, name+"="+env[name])
	}
	return flat
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

func orElse(value, otherwise string) string {
	if value == "" {
		return otherwise
	}
	return value
}
