# The function serve.
path "kv/data/almanac/serve/*" {
  capabilities = ["read"]
}
path "kv/data/almanac/shared/*" {
  capabilities = ["read"]
}
path "pki/issue/serve" {
  capabilities = ["update"]
}
