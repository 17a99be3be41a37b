"""The hosts: ``ssh_config`` says where they are and who logs in."""

sites = [("site", {"ssh_config_file": "ssh_config", "ssh_known_hosts_file": "known_hosts"})]
