package fencing

import "strings"

// maxPlugs bounds a parsed list: a virtualisation host has some thousand.
const maxPlugs = 16384

// ParseList reads what an agent printed for List: lines NAME or NAME,ALIAS, with further fields that mean
// nothing here. The alias is often the name of a virtual machine, and agents take it as well as the name. Lines
// which are empty or not of that form are skipped, since agents mix messages into it.
func ParseList(output string) []string {
	var plugs []string
	for line := range strings.Lines(output) {
		fields := strings.SplitN(strings.TrimSpace(line), ",", 3)
		name := strings.TrimSpace(fields[0])
		if name == "" || strings.ContainsAny(name, " \t:") {
			continue
		}
		plugs = append(plugs, name)
		if len(fields) > 1 {
			if alias := strings.TrimSpace(fields[1]); alias != "" {
				plugs = append(plugs, alias)
			}
		}
		if len(plugs) >= maxPlugs {
			break
		}
	}
	return plugs
}
