// Package inventories reads the machines of inventories of Ansible.
package inventories

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
)

// List is what the command ansible-inventory says of inventories, taken together, as JSON.
func List(ctx context.Context, command string, inventories ...string) ([]byte, error) {
	args := []string{"--list"}
	for _, inventory := range inventories {
		args = append(args, "-i", inventory)
	}
	out, err := exec.CommandContext(ctx, command, args...).Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", command, err)
	}
	return out, nil
}

// Host is what an inventory says of a machine.
type Host struct {
	Address string `json:"ansible_host"`
	User    string `json:"ansible_user"`
	Broker  int32  `json:"kafka_node_id"` // 0 if it is none
	Root    string `json:"base_ssh_root"`

	WireGuard        bool   `json:"base_wireguard"`
	WireGuardAddress string `json:"base_wireguard_address"`
}

// Hosts are the machines of a list, by name.
func Hosts(list []byte) (map[string]Host, error) {
	var of struct {
		Meta struct {
			Hosts map[string]Host `json:"hostvars"`
		} `json:"_meta"`
	}
	err := json.Unmarshal(list, &of)
	return of.Meta.Hosts, err
}
