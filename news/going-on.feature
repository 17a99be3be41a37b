A build goes on when its client is gone: `deploy` of the same release follows it from its first line, takes up one that is built already, and says so when somebody else has made it live meanwhile.
