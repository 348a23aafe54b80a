#!/usr/bin/python
"""Reads who issues the tokens of a cluster's service accounts, and the keys by which they are judged."""
import json

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

DOCUMENTATION = """
module: deploy_issuer
short_description: Reads who issues the tokens of a cluster's service accounts
description: The issuer, and the JSON Web Key Set of those that it signs with, as the API server shows them.
options:
  kubeconfig: {type: path, required: true, description: File by which the cluster is reached.}
  context: {type: str, required: true, description: Its context.}
author: [Almanac (@almanac-data)]
"""
EXAMPLES = """
- name: Ask who issues the cluster's tokens
  deploy_issuer:
    kubeconfig: /home/me/.kube/config
    context: production
"""
RETURN = """
issuer: {type: str, returned: success, description: The URL that the claim iss of tokens has.}
keys: {type: str, returned: success, description: The JSON Web Key Set, sorted.}
"""

try:
    from kubernetes import client, config
except ImportError:
    client = None


def main():
    """Runs the module."""
    module = AnsibleModule({"kubeconfig": {"type": "path", "required": True}, "context": {"type": "str", "required": True}}, supports_check_mode=True)
    if client is None:
        module.fail_json(msg=missing_required_lib("kubernetes"))
    try:
        api = config.new_client_from_config(config_file=module.params["kubeconfig"], context=module.params["context"])
        # As it is sent: the client would make text of Python's own of it.
        issuer = json.loads(client.WellKnownApi(api).get_service_account_issuer_open_id_configuration(_preload_content=False).data)["issuer"]
        keys = json.loads(client.OpenidApi(api).get_service_account_issuer_open_id_keyset(_preload_content=False).data)
    except client.exceptions.ApiException as error:
        module.fail_json(msg="The cluster does not tell who issues its tokens: %s. Whoever runs this needs the cluster role "
                             "system:service-account-issuer-discovery, or set deploy_issuer." % error.reason)
    except (KeyError, ValueError, config.ConfigException) as error:
        module.fail_json(msg="The cluster does not tell who issues its tokens: %s" % error)
    module.exit_json(changed=False, issuer=issuer, keys=json.dumps(keys, sort_keys=True))


if __name__ == "__main__":
    main()
