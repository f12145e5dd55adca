// Package compat answers under the names of Pacemaker's tools (crm_simulate, crm_mon, crm_attribute, ...),
// with their options, output and exit codes, so that agents, scripts and administrators find what they know.
package compat

import (
	"io"
	"path/filepath"
)

// IO is where a tool reads and writes.
type IO struct {
	In       io.Reader
	Out, Err io.Writer
}

// tool is one compatibility tool: it gets the arguments without its name and returns the exit code.
type tool func(io IO, args []string) int

var tools = map[string]tool{
	"attrd_updater":    attrdUpdater,
	"corosync-cmapctl": cmapctl,
	"ha_logger":        haLogger,
	"cibadmin":         cibAdmin,
	"crm_attribute":    crmAttribute,
	"crm_error":        crmError,
	"crm_failcount":    crmFailcount,
	"crm_master":       crmMaster,
	"crm_mon":          crmMon,
	"crm_node":         crmNode,
	"crm_resource":     crmResource,
	"crm_rule":         crmRule,
	"crm_simulate":     Simulate,
	"crm_standby":      crmStandby,
	"crm_ticket":       crmTicket,
	"crm_verify":       crmVerify,
	"crmadmin":         crmadmin,
	"iso8601":          isoDates,
	"pacemakerd":       pacemakerd,
	"stonith_admin":    stonithAdmin,
}

// Lookup returns the tool that goes by the base name of argv0.
func Lookup(argv0 string) (func(io IO, args []string) int, bool) {
	t, ok := tools[filepath.Base(argv0)]
	return t, ok
}

// Names lists the names of all tools.
func Names() []string {
	var names []string
	for name := range tools {
		names = append(names, name)
	}
	return names
}
