# The function deadletter.
path "kv/data/almanac/deadletter/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/deadletter" {
  capabilities = ["update"]
}
