# Who furnishes this OpenBao. It may make and replace what it holds, and may not use the keys of transit.
path "sys/mounts/*" {
  capabilities = ["create", "read", "update"]
}
path "sys/auth/*" {
  capabilities = ["create", "read", "update", "sudo"]
}
path "sys/policies/acl/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "sys/storage/raft/*" {
  capabilities = ["read", "update", "sudo"]
}
path "auth/approle/role/*" {
  capabilities = ["create", "read", "update", "delete", "list"]
}
path "sys/leases/revoke-prefix/auth/approle/login" {
  capabilities = ["update", "sudo"]
}
path "auth/kubernetes/*" {
  capabilities = ["create", "read", "update"]
}
path "kv/data/almanac/*" {
  capabilities = ["create", "read", "update"]
}
path "kv/metadata/almanac/*" {
  capabilities = ["read", "list", "delete"]
}
path "transit/keys/*" {
  capabilities = ["create", "read", "update"]
}
path "pki/*" {
  capabilities = ["create", "read", "update"]
}
path "identity/oidc/*" {
  capabilities = ["create", "read", "update"]
}
path "identity/entity/name/*" {
  capabilities = ["create", "read", "update"]
}
path "identity/entity-alias" {
  capabilities = ["create", "read", "update"]
}
