import { nullTranslator } from '@jupyterlab/translation';

import { remark } from '../words';
import { service } from './fakes';

const trans = nullTranslator.load('jupyter_model_service');

it('says why a service is as it is, and not its state once more', () => {
  expect(remark(service('chat', { state: 'stopped', reason: 'stopped', note: null }), trans)).toBeNull();
  expect(remark(service('chat', { state: 'stopped', reason: 'stopped; 1 still ending' }), trans)).toBe(
    'stopped; 1 still ending'
  );
});
