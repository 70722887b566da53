import type { Autoscaling } from '../../types';

export const POLICY: Autoscaling = {
  min: 1,
  max: 4,
  target: true,
  target_concurrency: null,
  aim: 5.6,
  idle_after: 900,
  down_delay: 90,
  rules: [
    {
      id: 'r1',
      metric: 'gpu_util',
      above: 80,
      below: null,
      step: 1,
      cooldown: 300,
      window: 60,
      min: null,
      max: null
    }
  ],
  schedules: [],
  held: false,
  bounds: null,
  last: null,
  last_at: null,
  notices: []
};
