/** What the server says, written by docs/generate_openapi.py and not by hand. */

/** The least and the most of what requests may have. */
export const BOUNDS = {
  AutoscalingChange: {
    down_delay: { least: 0 },
    idle_after: { least: 0 },
    max: { least: 0, most: 100 },
    min: { least: 0, most: 100 }
  },
  AutoscalingRequest: {
    down_delay: { least: 0 },
    idle_after: { least: 0 },
    max: { least: 0, most: 100 },
    min: { least: 0, most: 100 }
  },
  CheckRequest: {
    text: { longest: 1048576 }
  },
  CreateRequest: {
    cpus: { least: 0.001, most: 1024 },
    gpus: { least: 0, most: 64 },
    memory: { least: 1048576, most: 1152921504606846976 },
    replicas: { least: 0, most: 100 }
  },
  DefinitionText: {
    file: { longest: 100 }
  },
  DryRunRequest: {
    timeout: { above: 0, most: 3600 }
  },
  LimitsChange: {
    idle_limit: { least: 1, most: 3153600000 },
    longest_life: { least: 1, most: 3153600000 },
    longest_token: { least: 1, most: 3153600000 },
    max_cpus: { least: 0.001, most: 100000 },
    max_gpus_per_replica: { least: 0, most: 1000000 },
    max_gpus_per_user: { least: 0, most: 1000000 },
    max_memory: { least: 1048576, most: 1152921504606846976 },
    max_replicas_per_user: { least: 0, most: 1000000 },
    max_services_per_user: { least: 0, most: 1000000 }
  },
  LimitsSpec: {
    calls_per_day: { least: 1, most: 1000000000000 },
    calls_per_second: { least: 0.001, most: 1000000 },
    in_flight: { least: 1, most: 1000000 }
  },
  NoticeRequest: {
    text: { longest: 500 }
  },
  OriginsRequest: {
    origins: { items: 100 }
  },
  PathRuleSpec: {
    methods: { items: 10 },
    path: { longest: 200 }
  },
  RollbackRequest: {
    revision: { least: 1 }
  },
  RotateRequest: {
    expires_in: { above: 0, most: 315360000 },
    overlap: { least: 0, most: 2592000 }
  },
  RuleSpec: {
    cooldown: { least: 0 },
    max: { least: 0, most: 100 },
    min: { least: 0, most: 100 },
    step: { least: 0, most: 100 },
    window: { least: 0 }
  },
  SampleRequest: {
    name: { longest: 100 },
    path: { longest: 4096 }
  },
  SampleRequests: {
    requests: { items: 100 }
  },
  ScaleRequest: {
    replicas: { least: 0, most: 100 }
  },
  ScheduleSpec: {
    duration: { least: 0 },
    max: { least: 0, most: 100 },
    min: { least: 0, most: 100 }
  },
  TokenChange: {
    methods: { items: 10 },
    paths: { items: 20 },
    rules: { items: 20 }
  },
  TokenRequest: {
    expires_in: { above: 0, most: 315360000 },
    name: { longest: 100 },
    rules: { items: 20 }
  },
  UpdateRequest: {
    cpus: { least: 0.001, most: 1024 },
    gpus: { least: 0, most: 64 },
    memory: { least: 1048576, most: 1152921504606846976 }
  }
} as const;

/** Fields that are in seconds. */
export const SECONDS: readonly string[] = [
  'cooldown',
  'down_delay',
  'expires_in',
  'idle_after',
  'idle_limit',
  'longest_life',
  'longest_token',
  'overlap',
  'window'
];
